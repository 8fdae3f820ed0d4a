#pragma once
// Something that each token of a chunk has: in the registers of a thread that has its channel
// alone, in shared memory where the lanes of a channel share the work.

#include "../numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class V, int Tokens>
struct own_tokens {
  registers<V, Tokens> of;

  GATESCAN_HD V at(int i) const { return of[i]; }
  GATESCAN_HD void put(int i, const V& x) { of[i] = x; }
};

template <class V, class Array>
struct shared_tokens {
  Array of;
  index_t channel, pitch;

  GATESCAN_HD V at(int i) const { return of[i * pitch + channel]; }
  GATESCAN_HD void put(int i, const V& x) const { of[i * pitch + channel] = x; }
};

// The same for each key of a thread, which nobody else reads.
template <class E, class Array, int Keys>
struct shared_key_tokens {
  Array of;
  index_t thread, threads;

  GATESCAN_HD E at(int i, int n) const { return of[(i * Keys + n) * threads + thread]; }
  GATESCAN_HD void put(int i, int n, E x) const { of[(i * Keys + n) * threads + thread] = x; }
};

// Adds a structure of numbers over the lanes of a channel, the same bits in each.
template <class C, class V, class Block>
GATESCAN_HD V add_over_lanes(Block& block, const V& x, int lanes) {
  static_assert(sizeof(V) % sizeof(C) == 0,
                "gatescan: what `values` returns must hold numbers and nothing else");
  constexpr int size = static_cast<int>(sizeof(V) / sizeof(C));
  struct numbers_of {
    C of[sizeof(V) / sizeof(C)];
  };
  auto sum = bits_as<numbers_of>(x);
  for (int m = 1; m < lanes; m *= 2)
    for (int i = 0; i < size; ++i) sum.of[i] += block.shuffle_xor(sum.of[i], m);
  return bits_as<V>(sum);
}

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
