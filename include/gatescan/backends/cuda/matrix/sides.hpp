#pragma once
// Which operands of a matrix state the value side's adjoints add to, and which the key side's.

#include "../../../core/stages.hpp"
#include "../operands/recording_cursor.hpp"
#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// The struct that a recurrence of R's form returns from `keys`.
template <class R, class E>
using key_numbers = std::conditional_t<
    R::form.moves == transition::low_rank, low_rank_keys_of<E>,
    std::conditional_t<
        R::form.moves == transition::corrected, corrected_keys_of<E>,
        std::conditional_t<R::form.reads == readout::exclusive, keys_and_own_of<E>, keys_of<E>>>>;

/// What R makes of a token and head before its keys and values.
template <class R, class T>
using stage_of = decltype(stages<R>::token(
    operands_of<R, T>{}, recording_cursor<state_t<T>, tile_config<R, T>::complex>{},
    token_weight<state_t<T>>{}));

/// A plan knows shapes only: there all operands are taken to be given.
template <class R, class T>
auto sides_that_add(const problem_of<R, T>& p) {
  using C = state_t<T>;
  using config = tile_config<R, T>;
  using recorder = recording_cursor<C, config::complex>;
  auto x = p.x;
  bool any = false;
  R::operands([&](const char*, const axes&, presence, const auto& o) { any = any || o.given; }, x);
  R::operands([&](const char*, const axes&, presence, auto& o) { o.given = o.given || !any; }, x);
  typename R::template fields<adds_to> notes{};
  const recorder at_keys{side::keys}, at_values{side::values};
  const stage_of<R, T> token{};
  stage_of<R, T> d_token{};
  using stage = stages<R>;
  stage::keys_adjoint(x, notes, at_keys, token, d_token, key_numbers<R, typename config::E>{});
  const auto w = stage::values(x, at_values, token);
  std::remove_const_t<decltype(w)> d_w{};
  stage::output_adjoint(x, notes, at_values, token, d_token, w, d_w, C(0), C(0));
  stage::values_adjoint(x, notes, at_values, token, d_token, w, d_w);
  stage::token_adjoint(x, notes, at_keys, token, d_token);
  return notes;
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
