#pragma once
// The decays of a chunk whose keys have one real gate a token: numbers, not rows of keys. With a_t
// the head's gates
//
//   from_start_t = prod_{j<=t} a_j      to_end_s = prod_{j>s} a_j

#include <cmath>

#include "../../chunk_kernel.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class head_decays {
 public:
  C* from_start = nullptr;  // [token]
  C* to_end = nullptr;      // [token]

  head_decays() = default;
  head_decays(arena& scratch, const matrix_shape& n, index_t tokens) {
    from_start = scratch.take<C>(tokens), to_end = scratch.take<C>(tokens);
    product_ = scratch.take<C>(n.rows), product_low_ = scratch.take<C>(n.rows);
    v_decayed_ = scratch.take<C>(tokens * n.value_pitch);
  }
  gate_product<C> gates() const { return {product_, product_low_}; }

  void set_from_start(const matrix_tiles<C>& x, index_t tokens) const {
    C decay(1);
    for (index_t t = 0; t < tokens; ++t) from_start[t] = decay *= x.head_gate[t];
  }
  /// Returns the product of all gates.
  C set_to_end(const matrix_tiles<C>& x, index_t tokens) const {
    C decay(1);
    for (index_t t = tokens - 1; t >= 0; --t) {
      to_end[t] = decay;
      decay *= x.head_gate[t];
    }
    return decay;
  }
  /// gates(), for every key: from the sum of the gates' logarithms, where they have some, or
  /// `product`, rounded gates multiplied.
  void set_gates(const matrix_tiles<C>& x, C product) const {
    C low(0);
    if (x.log_gates != nullptr) {
      const double exact = std::exp(x.log_gates[0]);
      product = static_cast<C>(exact);
      low = static_cast<C>(exact - static_cast<double>(product));
    }
    fill(product_, x.n.rows, product);
    fill(product_low_, x.n.rows, low);
  }
  /// Rows of values times a factor a token.
  const C* decayed(const matrix_shape& n, index_t tokens, const C* from, const C* factor) const {
    C* const to = v_decayed_;
    for (index_t t = 0; t < tokens; ++t)
      for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>)
        simd::store(to + t * n.value_pitch + j,
                    simd::pack<C>(factor[t]) * simd::load(from + t * n.value_pitch + j));
    return to;
  }

 private:
  C *product_ = nullptr, *product_low_ = nullptr;  // [rows]
  C* v_decayed_ = nullptr;                         // [token][value_pitch]
};

// x.a, for the token by token form
template <class C>
void spread_gates(const matrix_tiles<C>& x, index_t tokens) {
  for (index_t t = 0; t < tokens; ++t) fill(x.a + t * x.n.rows, x.n.rows, x.head_gate[t]);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
