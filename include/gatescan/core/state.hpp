#pragma once
// The parts of a state. Most states are one array. A recurrence with a normaliser, or with weights
// in log space, has more, each with a name of its own: a structure of views takes the place of the
// view, and lists them in `parts`.

#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// What a part of a state is to the kernels: the gated product's S, its normaliser n, or m, the
/// logarithm that both are scaled by: they stand for S e^m and n e^m.
enum class state_part { product, normaliser, log_scale };

namespace detail {

/// A state as backends get it: the product's, and beside it what it may have besides.
template <class S>
struct state_operands : operand<S> {
  operand<S> normaliser{}, log_scale{};

  operand<S>& operator[](state_part which) {
    switch (which) {
      case state_part::normaliser:
        return normaliser;
      case state_part::log_scale:
        return log_scale;
      default:
        return *this;
    }
  }
};

// What takes any part, by a name: nvcc finds no parts where a concept asks with a lambda.
struct any_part {
  constexpr void operator()(auto&&...) const {}
};
template <class State>
concept has_parts = requires(State x) {
  State::parts(any_part{}, x);
};

/// f(which, name, axes, part of each state...) for every part of R's states; the name of an only
/// part is null.
template <class R, class F, class First, class... Rest>
constexpr void for_each_part(F&& f, First&& first, Rest&&... rest) {
  if constexpr (has_parts<std::remove_cvref_t<First>>)
    std::remove_cvref_t<First>::parts(f, first, rest...);
  else
    f(state_part::product, nullptr, R::state_axes, first, rest...);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
