#pragma once
// A segment of time as a whole, S_out = product[K] S_in[K, V] + local[K, V]: the product of its
// gates, in two parts, and the state that it makes from 0.

#include <cmath>

#include "carry.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, bool IsComplex>
class segment_summary {
 public:
  segment_summary(arena&, const matrix_shape& shape, index_t) : n_(shape) {}

  index_t size() const { return 2 * n_.rows; }
  void clear(C* product) const {
    fill(product, size(), C(0));
    fill(product, n_.key_pitch, C(1));
  }
  /// By the chunk that the kernels advanced last.
  template <class Kernels, class Reader>
  void extend(C* product, const Kernels& kernels, const Reader& reader, index_t) const {
    multiply_products<IsComplex>(product, product + n_.rows, kernels.gates(reader), n_);
  }
  /// Whether every gate of the product is less than `bound`.
  bool forgets(const C* product, C bound) const {
    for (index_t row = 0; row < n_.rows; row += n_.key_pitch)
      for (index_t i = 0; i < n_.keys; ++i)
        if (!(std::abs(product[row + i]) < bound)) return false;
    return true;
  }
  /// out = product in + local, or conj(product) in + local. False where that is not finite and has
  /// to be found token by token.
  bool apply(const C* product, const C* local, const C* in, C* out, bool conjugate) const {
    for_each_plane<IsComplex>(
        n_, in, out, {product, product + n_.rows}, conjugate, false,
        [&](index_t first, index_t rows, auto next) {
          for (index_t i = 0; i < rows; ++i)
            for (index_t j = 0; j < n_.value_pitch; j += simd::lanes<C>) {
              const index_t place = (first + i) * n_.state_pitch + j;
              C* at = out + place;
              simd::store(at, next(i, j, simd::load(local + place)));
              if (n_.parts == 2) {
                at += n_.part_size();
                simd::store(at, simd::load(at) + simd::load(local + n_.part_size() + place));
              }
            }
        });
    return state_finite(static_cast<const C*>(out), n_);
  }

 private:
  matrix_shape n_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
