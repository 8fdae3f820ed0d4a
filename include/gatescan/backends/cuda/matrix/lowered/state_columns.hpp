#pragma once
// A state with a normaliser as the programs of rows have it, [sequence][head][key][V + 1] in
// scratch, its last column being n; and its parts as the caller has them. A thread a number.

#include "rows.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

inline index_t state_numbers(const sizes& n) {
  return n.sequences * n.heads * n.keys * (n.values + 1);
}
/// Such a state as an operand; n has the values without the normaliser.
template <class C>
operand<C> state_columns(C* of, const sizes& n) {
  operand<C> x;
  x.re = of, x.given = true, x.value = 1;
  x.key = n.values + 1, x.head = n.keys * x.key, x.batch = n.heads * x.head;
  return x;
}
inline constexpr axes normaliser_axes{axis::sequence, axis::head, axis::key};

// What the programs share: f(place, at) of a thread's number.
struct state_columns_base {
  sizes n;

  index_t blocks() const { return ceil_divide(state_numbers(n), threads()); }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class C, class Block, class F>
  GATESCAN_HD void with_number(Block& block, F&& f) const {
    const index_t columns = n.values + 1, place = block.index() * block.threads() + block.thread();
    if (place >= n.sequences * n.heads * n.keys * columns) return;
    index_t rest = place;
    const index_t value = rest % columns, key = (rest /= columns) % n.keys,
                  head = (rest /= n.keys) % n.heads, sequence = rest / n.heads;
    f(place, cursor<C, false>{sequence, 0, head, key, value});
  }
};

/// A part that is not given is 0.
template <class C>
struct join_state : state_columns_base {
  operand<const C> product, normaliser;
  C* to;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    with_number<C>(block, [&](index_t place, const auto& at) {
      const operand<const C>& from = at.value < n.values ? product : normaliser;
      to[place] = from.given ? at(from) : C(0);
    });
  }
};

template <class C>
struct part_state : state_columns_base {
  const C* from;
  operand<C> product, normaliser;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    with_number<C>(block, [&](index_t place, const auto& at) {
      const operand<C>& to = at.value < n.values ? product : normaliser;
      if (to.given) to.re[at.offset(to)] = from[place];
    });
  }
};

/// Of a gradient, where places may be summed.
template <class C>
struct part_state_gradient : state_columns_base {
  const C* from;
  gradient_sink<C, C> product, normaliser;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    with_number<C>(block, [&](index_t place, const auto& at) {
      accumulator<C> sum;
      sum.re = from[place];
      (at.value < n.values ? product : normaliser).store(at, at.batch, 0, sum);
    });
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
