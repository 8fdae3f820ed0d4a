#pragma once
// A segment of time as a whole, S_out = product[K] S_in[K, V] + local[K, V]: the product of its
// gates, in two parts, and the state that it makes from 0.

#include "carry.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
struct segment_summary {
  matrix_shape n;

  index_t size() const { return 2 * n.rows; }
  void clear(C* product) const {
    fill(product, size(), C(0));
    fill(product, n.key_pitch, C(1));
  }
  void extend(C* product, gate_product<C> chunk) const {
    multiply_products<IsComplex>(product, product + n.rows, chunk, n);
  }
  /// out = product in + local, or conj(product) in + local. False where that is not finite and has
  /// to be found token by token.
  bool apply(const C* product, const C* local, const C* in, C* out, bool conjugate) const {
    for_each_plane<IsComplex>(
        n, in, out, {product, product + n.rows}, conjugate,
        [&](index_t first, index_t rows, auto next) {
          for (index_t i = 0; i < rows; ++i)
            for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>) {
              const index_t place = (first + i) * n.state_pitch + j;
              C* at = out + place;
              simd::store(at, next(i, j, simd::load(local + place)));
              if (n.parts == 2) {
                at += n.part_size();
                simd::store(at, simd::load(at) + simd::load(local + n.part_size() + place));
              }
            }
        });
    return state_finite(static_cast<const C*>(out), n);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
