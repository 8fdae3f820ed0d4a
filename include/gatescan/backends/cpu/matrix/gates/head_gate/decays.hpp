#pragma once
// The decays of a chunk whose keys have one real gate a token: numbers, not rows of keys. With a_t
// the head's gates
//
//   from_start_t = prod_{j<=t} a_j      to_end_s = prod_{j>s} a_j

#include <algorithm>
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
    between_ = scratch.take<C>(subchunk_tokens * subchunk_tokens);
  }
  gate_product<C> gates() const { return {product_, product_low_}; }

  void set_from_start(const matrix_tiles<C>& x, index_t tokens) const {
    C decay(1);
    for (index_t t = 0; t < tokens; ++t) from_start[t] = decay *= x.head_gate[t];
  }
  /// Those of a subchunk that begins at token `first`, `before` being the product of all gates
  /// before it; to_end is that to its own end. Returns the product of its gates.
  C set_subchunk(const matrix_tiles<C>& x, index_t first, index_t count, C before) const {
    using P = simd::pack<C>;
    constexpr index_t side = subchunk_tokens, width = simd::lanes<C>;
    const C* const a = x.head_gate + first;
    for (index_t i = 0; i < side; i += width) {
      const index_t last = (std::min)(count, i + width) - 1;
      for (index_t s = last + 1; s < side; ++s) simd::store(between_ + s * side + i, P(0));
      P d(0);
      for (index_t s = last; s >= 0; --s) {
        if (s < last) d = P(a[s + 1]) * d;
        if (const int own = static_cast<int>(s - i); own >= 0)  // 0 before it, whatever a gate is
          d = simd::first_lanes(simd::first_lanes(P(0), own, P(1)), own + 1, d);
        simd::store(between_ + s * side + i, d);
      }
    }
    for (index_t t = 0; t < count; ++t) {
      from_start[first + t] = before * from_first(x, first, t);
      to_end[first + t] = between_[t * side + count - 1];
    }
    return from_first(x, first, count - 1);
  }
  /// Of that subchunk, prod_{j<=t} a_j from its first token on.
  GATESCAN_INLINE C from_first(const matrix_tiles<C>& x, index_t first, index_t t) const {
    return x.head_gate[first] * between_[t];
  }
  /// to[s][t] = scores[s][t] decayed inside that subchunk, of s <= t.
  void decay_scores(index_t count, const C* scores, C* to) const {
    constexpr index_t side = subchunk_tokens, width = simd::lanes<C>;
    for (index_t s = 0; s < count; ++s)
      for (index_t at = s * side + s / width * width; at < (s + 1) * side; at += width)
        simd::store(to + at, simd::load(scores + at) * simd::load(between_ + at));
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
    decay(n, tokens, from, factor, 0, n.value_pitch);
    return v_decayed_;
  }
  /// The same of some columns, in decayed_rows().
  void decay(const matrix_shape& n, index_t tokens, const C* from, const C* factor, index_t first,
             index_t columns) const {
    C* const to = v_decayed_;
    for (index_t t = 0; t < tokens; ++t)
      for (index_t j = first; j < first + columns; j += simd::lanes<C>)
        simd::store(to + t * n.value_pitch + j,
                    simd::pack<C>(factor[t]) * simd::load(from + t * n.value_pitch + j));
  }
  const C* decayed_rows() const { return v_decayed_; }

 private:
  C *product_ = nullptr, *product_low_ = nullptr;  // [rows]
  C* v_decayed_ = nullptr;                         // [token][value_pitch]
  C* between_ = nullptr;                           // [s][t], of a subchunk
};

// da[token] that is not finite from the exact da[token][rows] of gates that were spread.
template <class C>
void replace_gate_gradients(const matrix_shape& n, index_t tokens, C* da, const C* exact) {
  for (index_t t = 0; t < tokens; ++t, exact += n.rows) {
    C sum(0);
    for (index_t i = 0; i < n.keys; ++i) sum += exact[i];
    replace_non_finite(da + t, &sum, 1);
  }
}

// x.a, for the token by token form
template <class C>
void spread_gates(const matrix_tiles<C>& x, index_t tokens) {
  for (index_t t = 0; t < tokens; ++t) fill(x.a + t * x.n.rows, x.n.rows, x.head_gate[t]);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
