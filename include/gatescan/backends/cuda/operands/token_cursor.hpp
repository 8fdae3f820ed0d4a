#pragma once
// Where a token stage reads: one token of one head, whose keys the lanes of a warp share.

#include "../toolbox.hpp"
#include "cursor.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// All lanes of a warp call it together. Operands are those of one head.
template <class C, class Block>
struct token_cursor {
  using register_type = C;
  Block& block;
  index_t time, keys;

  GATESCAN_HD cursor<C, false> at_key(index_t key) const { return {0, time, 0, key, 0}; }
  template <class S>
  GATESCAN_HD C operator()(const operand<S>& x) const {
    return at_key(0)(x);
  }
  template <class S>
  GATESCAN_HD C element(const operand<S>& x) const {
    return at_key(0)(x);
  }
  template <class F>
  GATESCAN_HD C sum_over_keys(F&& f) const {
    C sum = 0;
    for_each_key([&](const auto& here) { sum = sum + f(here); });
    for (int m = warp_threads / 2; m > 0; m /= 2) sum = sum + block.shuffle_xor(sum, m);
    return sum;
  }
  template <class F>
  GATESCAN_HD void for_each_key(F&& f) const {
    for (index_t key = block.thread() % warp_threads; key < keys; key += warp_threads)
      f(at_key(key));
  }
};

/// The same of one thread that has a token alone.
template <class C>
struct own_token_cursor {
  using register_type = C;
  index_t time, keys;

  GATESCAN_HD cursor<C, false> at_key(index_t key) const { return {0, time, 0, key, 0}; }
  template <class S>
  GATESCAN_HD C operator()(const operand<S>& x) const {
    return at_key(0)(x);
  }
  template <class F>
  GATESCAN_HD C sum_over_keys(F&& f) const {
    C sum = 0;
    for (index_t key = 0; key < keys; ++key) sum = sum + f(at_key(key));
    return sum;
  }
};

/// The same for its adjoint, which the threads of all keys call, each for its own key: what goes to
/// operands of the token itself, one of them adds. Gradients of the stage are whole.
template <class C>
struct token_adjoint_cursor {
  using register_type = C;
  cursor<C, false> at;
  bool adds_for_token;

  template <class S>
  GATESCAN_HD C operator()(const operand<S>& x) const {
    cursor<C, false> first = at;
    first.key = 0;
    return first(x);
  }
  template <class F>
  GATESCAN_HD void for_each_key(F&& f) const {
    f(at);
  }
  GATESCAN_HD C total(C x) const { return x; }
  GATESCAN_HD void add(const accumulator<C>& d, C g) const {
    if (adds_for_token) d.re += g;
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
