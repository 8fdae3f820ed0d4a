#pragma once
// A segment of time whose transition is corrected as a whole, S_out = T[K, K] S_in[K, V] +
// local[K, V]: T is what the segment's tokens make of the identity where they write no values.

#include <cmath>

#include "../head_gate/decays.hpp"
#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, transition Moves>
class corrected_summary {
 public:
  corrected_summary(arena& scratch, const matrix_shape& shape, index_t tokens)
      : n_(shape),
        square_(matrix_shape::of<C>(n_.keys, n_.keys, false, n_.parts == 2)),
        kernel_(scratch, square_, tokens) {
    next_ = scratch.take<C>(square_.state_size());
    v_ = scratch.take<C>(tokens * square_.value_pitch);
    o_ = scratch.take<C>(tokens * square_.value_pitch);
    if (v_ != nullptr) fill(v_, tokens * square_.value_pitch, C(0));
  }
  index_t size() const { return square_.state_size(); }
  void clear(C* t) const {
    fill(t, size(), C(0));
    for (index_t i = 0; i < n_.keys; ++i) t[i * square_.state_pitch + i] = C(1);
  }
  template <class Kernels, class Reader>
  void extend(C* t, const Kernels&, const Reader& reader, index_t tokens) const {
    prefetcher nothing{};
    token_chunk<C> c{reader.tiles(), tokens, t, &nothing};
    c.x.n = square_, c.x.v = v_, c.x.o = o_;
    if (c.x.head_gate != nullptr) {
      spread_gates(c.x, tokens);
      if (c.x.log_gates != nullptr)
        fill(c.x.log_gates, c.x.n.rows, static_cast<double>(c.x.log_gates[0]));
    }
    kernel_.advance(c, next_);
    copy_numbers(t, static_cast<const C*>(next_), size());
  }
  /// Whether every number of T is less than `bound`.
  bool forgets(const C* t, C bound) const {
    for (index_t i = 0; i < n_.keys; ++i)
      for (index_t j = 0; j < n_.keys; ++j)
        if (!(std::abs(t[i * square_.state_pitch + j]) < bound)) return false;
    return true;
  }
  /// out = T in + local, or T^T in + local. False where that is not finite and has to be found
  /// token by token. What T keeps in a second part is less than a product rounds off.
  bool apply(const C* t, const C* local, const C* in, C* out, bool transposed) const {
    copy_numbers(out, local, n_.state_size());
    const auto add_products = [&](auto left) {
      for (index_t part = 0; part < n_.state_size(); part += n_.part_size())
        simd::add_product<C>(n_.rows, n_.value_pitch, n_.keys, left, {in + part, n_.state_pitch},
                             {out + part, n_.state_pitch});
    };
    if (transposed)
      add_products(simd::by_columns<C>(t, square_.state_pitch));
    else
      add_products(simd::by_rows<C>(t, square_.state_pitch));
    return state_finite(static_cast<const C*>(out), n_);
  }

 private:
  matrix_shape n_, square_;  // of S; of T
  corrected_gate<C, Moves> kernel_;
  C *next_ = nullptr, *v_ = nullptr, *o_ = nullptr;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
