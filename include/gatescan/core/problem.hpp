#pragma once
// A checked problem: canonical operands of one recurrence, its sizes and its packed sequences.

#include <string>

#include "concepts.hpp"
#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// f(x...) for every operand of R: x is its field in each of the structures s.
GATESCAN_CALLS_ANY
template <class R, class F, class... S>
GATESCAN_HD GATESCAN_INLINE void for_each_field(F&& f, S&&... s) {
  R::operands([&](const char*, const axes&, presence, auto&&... x) { f(x...); }, s...);
}

template <class R, class T>
struct problem_of {
  using storage = storage_t<T>;
  using state = state_t<T>;

  sizes n;
  bool complex = false;
  typename R::template fields<operand<const storage>> x{};
  operand<const state> initial_state{};
  const index_t* offsets = nullptr;  // packed sequences

  GATESCAN_HD index_t batch_of(index_t sequence) const { return offsets ? 0 : sequence; }
  GATESCAN_HD index_t first_token(index_t sequence) const {
    return offsets ? offsets[sequence] : 0;
  }
  GATESCAN_HD index_t last_token(index_t sequence) const {
    return offsets ? offsets[sequence + 1] : n.time;
  }
};

template <class T>
struct forward_results {
  operand<storage_t<T>> out{};
  operand<state_t<T>> final_state{};
};

template <class R, class T>
struct backward_results {
  operand<const storage_t<T>> out{};        // gradient of the output; not given: 0
  operand<const state_t<T>> final_state{};  // gradient of the final state; not given: 0
  typename R::template fields<operand<storage_t<T>>> d{};
  operand<state_t<T>> initial_state{};
};

// Extents as the operands have them. What does not fit is found by check_layout afterwards.
template <class R, class In>
sizes measure(const In& in, bool one_token) {
  sizes n;
  index_t channels = -1, groups = 1;
  bool head_seen = false;
  R::operands(
      [&](const char*, const axes& declared, presence, const auto& x) {
        if (!x.given()) return;
        const axes with_time = one_token ? declared.without(axis::time) : declared;
        const axes a = axes_as_given(x, with_time);
        if (x.rank != a.rank) return;
        const auto grow = [](index_t& to, index_t extent) { to = extent > to ? extent : to; };
        for (int i = 0; i < a.rank; ++i) switch (a.of[i]) {
            case axis::batch:
              grow(n.batch, x.shape[i]);
              break;
            case axis::time:
              grow(n.time, x.shape[i]);
              break;
            case axis::head:
              grow(n.heads, x.shape[i]), head_seen = true;
              break;
            case axis::group:
              grow(groups, x.shape[i]);
              break;
            case axis::key:
            case axis::key_or_one:
              grow(n.keys, x.shape[i]);
              break;
            case axis::value:
              grow(n.values, x.shape[i]);
              break;
            case axis::channel:
              grow(channels, x.shape[i]);
              break;
            case axis::sequence:
              break;
          }
      },
      in);
  if (channels >= 0 && !head_seen) {
    if (channels % groups != 0)
      fail<shape_error>("groups: expected a divisor of " + std::to_string(channels) +
                        " channels, got " + std::to_string(groups));
    n.heads = groups, n.values = channels / groups;
  }
  if constexpr (has_unit_keys<R>()) n.keys = 1;
  if constexpr (requires { R::states; }) n.keys = R::states;
  if (one_token) n.time = 1;
  n.sequences = n.batch;
  return n;
}

inline void check_offsets(const view<const index_t>& offsets, sizes& n, bool readable) {
  if (!offsets.given()) return;
  if (offsets.rank != 1 || offsets.shape[0] < 1 || offsets.stride[0] != 1)
    fail_shape("sequence_offsets", "[sequences + 1], dense", offsets);
  if (n.batch != 1)
    fail<shape_error>("sequence_offsets: expected batch 1 with packed sequences, got batch " +
                      std::to_string(n.batch));
  n.sequences = offsets.shape[0] - 1;
  if (!readable || offsets.data == nullptr) return;  // shapes only
  const auto refuse = [](const std::string& expected, index_t i, index_t got) {
    fail<shape_error>("sequence_offsets[" + std::to_string(i) + "]: expected " + expected +
                      ", got " + std::to_string(got));
  };
  if (offsets.data[0] != 0) refuse("0", 0, offsets.data[0]);
  for (index_t i = 0; i < n.sequences; ++i)
    if (offsets.data[i + 1] < offsets.data[i])
      refuse("at least " + std::to_string(offsets.data[i]), i + 1, offsets.data[i + 1]);
  if (offsets.data[n.sequences] != n.time)
    refuse(std::to_string(n.time) + " (the tokens given)", n.sequences, offsets.data[n.sequences]);
}

/// Checks the inputs and makes them canonical. With one_token the operands have no time axis.
template <class R, class In>
auto bind_inputs(const In& in, bool one_token = false) {
  using T = typename In::format;
  problem_of<R, T> p;
  p.n = measure<R>(in, one_token);
  const auto as_declared = [&](const axes& a) { return one_token ? a.without(axis::time) : a; };
  check_offsets(in.sequence_offsets, p.n, !on_device<T>);
  p.offsets = in.sequence_offsets.data;
  R::operands(
      [&](const char* name, const axes& declared, presence need, const auto& from, auto& to) {
        if (!from.given() && need == presence::required)
          fail<shape_error>(std::string(name) + ": expected " + axes_text(as_declared(declared)) +
                            ", got nothing");
        to = bind(name, from, as_declared(declared), p.n, false);
        p.complex = p.complex || to.im != nullptr;
      },
      in, p.x);
  R::options(in, p.x);
  p.initial_state = bind("initial_state", in.initial_state, R::state_axes, p.n, true);
  p.complex = p.complex || p.initial_state.im != nullptr;
  if constexpr (requires { R::number_kind; }) {
    if (R::number_kind != numbers::either) p.complex = R::number_kind == numbers::complex;
  }
  if (p.n.keys < 1 && p.n.batch > 0) fail<shape_error>("keys: expected at least 1, got 0");
  if (p.n.values < 1 && p.n.batch > 0) fail<shape_error>("values: expected at least 1, got 0");
  return p;
}

// A result that is written element by element must not write one place twice.
inline void check_distinct(const char* name, const layout& x) {
  if (x.size() == 0) return;
  for (int i = 0; i < x.rank; ++i)
    if (x.shape[i] > 1 && x.stride[i] == 0)
      fail<shape_error>(std::string(name) + ": expected a stride other than 0 on axis " +
                        std::to_string(i) + " of a result with extents " + shape_text(x));
}

template <class V>
bool is_real(const V& x) {
  if constexpr (requires { x.im; })
    return x.im == nullptr;
  else
    return true;
}
template <class V>
void check_complex(const char* name, const V& x, bool needed) {
  if constexpr (requires { x.im; }) {
    if (x.given() && needed && is_real(x) && x.size() > 0)
      fail<shape_error>(std::string(name) +
                        ": expected a complex view (the recurrence is complex), got a real one");
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
