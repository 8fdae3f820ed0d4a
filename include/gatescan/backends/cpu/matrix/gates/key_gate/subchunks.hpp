#pragma once
// What gates do to the queries and keys of a chunk, by subchunks of some quads, without a division:
//
//   q^_t = q_t prod(gates from the subchunk's first token to t)
//   k^_t = k_t prod(gates from t + 1 to the subchunk's end)
//   total_r = prod(gates of subchunk r)                                   [K] each
//   P_ts = Re sum_i q^_t[i] k^_s[i] prod(quads between)[i]                s <= t in a subchunk
//
// and with readout::exclusive as quads.hpp says.

#include "division.hpp"
#include "two_readers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline index_t subchunks_of(index_t tokens) { return ceil_divide(tokens, subchunk_tokens); }
inline index_t tokens_in_subchunk(index_t tokens, index_t r) {
  const index_t rest = tokens - r * subchunk_tokens;
  return rest < subchunk_tokens ? rest : subchunk_tokens;
}

// rows *= factor (conjugated if asked), row by row of keys
template <bool IsComplex, class C>
void scale_keys(C* rows, index_t count, const matrix_shape& n, const C* factor, bool conjugate) {
  const index_t pitch = n.key_pitch, step = n.rows;  // copies: rows might otherwise be these
  for (index_t i = 0; i < pitch; i += simd::lanes<C>) {
    auto f = load_keys<IsComplex>(factor, i, pitch);
    if (conjugate) f = conj(f);
    for (index_t t = 0; t < count; ++t)
      store_keys<IsComplex>(rows + t * step, i, pitch,
                            load_keys<IsComplex>(rows + t * step, i, pitch) * f);
  }
}

template <class C, bool IsComplex>
class decayed_subchunks {
 public:
  C* q = nullptr;       // [token][rows]: conj(q^); conjugated so that products take the real part
  C* k = nullptr;       // [token][rows]: k^; those of other writers lie behind them
  C* totals = nullptr;  // [subchunk][rows]

  decayed_subchunks() = default;
  /// Queries are one of `readers` of the state, keys one of `writers` to it.
  decayed_subchunks(arena& scratch, const matrix_shape& shape, index_t tokens, index_t readers = 1,
                    index_t writers = 1)
      : n(shape), readers_(readers), writers_(writers) {
    const index_t subchunks = subchunks_of(tokens);
    q = scratch.take<C>(readers * tokens * n.rows);
    k = scratch.take<C>(writers * tokens * n.rows);
    totals = scratch.take<C>(subchunks * n.rows);
    product_ = scratch.take<C>(n.rows), product_low_ = scratch.take<C>(n.rows);
    scores_ = scratch.take<C>(readers * writers * subchunks * subchunk_tokens * subchunk_tokens);
    if (readers > 1) {
      take_room_to_divide(scratch, tokens);
      aside_ = scratch.take<C>(readers * subchunk_tokens * (n.rows + writers * subchunk_tokens));
    }
    q_quad_ = scratch.take<C>(quad_tokens * n.rows);
    quad_total_ = scratch.take<C>(n.rows);
  }

  /// For `divide`.
  void take_room_to_divide(arena& scratch, index_t tokens) {
    k_divided_ = scratch.take<C>(writers_ * subchunks_of(tokens) * subchunk_tokens * n.rows);
    q_transposed_ = scratch.take<C>(readers_ * subchunk_tokens * n.rows);
  }

  /// The same of another reader and writer, whose rows lie `tokens` behind those before them.
  decayed_subchunks of(index_t tokens, index_t reader, index_t writer) const {
    decayed_subchunks other = *this;
    other.q += reader * tokens * n.rows;
    other.k += writer * tokens * n.rows;
    other.scores_ +=
        (writer * readers_ + reader) * subchunks_of(tokens) * subchunk_tokens * subchunk_tokens;
    return other;
  }

  C* q_of(index_t r) const { return q + r * subchunk_tokens * n.rows; }
  C* k_of(index_t r) const { return k + r * subchunk_tokens * n.rows; }
  C* total_of(index_t r) const { return totals + r * n.rows; }
  /// Where subchunk r was divided.
  const C* k_divided_of(index_t r) const { return k_divided_ + r * subchunk_tokens * n.rows; }
  /// [s][t], s <= t; 0 where s > t inside a quad.
  C* scores_of(index_t r) const { return scores_ + r * subchunk_tokens * subchunk_tokens; }
  /// The product of all gates, after to_chunk_end or from_chunk_start.
  gate_product<C> gates() const { return {product_, product_low_}; }

  /// Everything of subchunk r.
  void set(const key_source<C>& keys, index_t tokens, index_t r) const {
    const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(tokens, r);
    C *scores = scores_of(r), *k_begin = k_of(r);
    for (index_t t = 0; t < count; t += quad_tokens) {
      const index_t rest = (std::min)(quad_tokens, count - t), row = (first + t) * n.rows;
      keys.products_of_quad(first + t, rest, t == 0,
                            {n, q + row, k + row, q_quad_, quad_total_, total_of(r),
                             scores + t * subchunk_tokens + t});
      if (t == 0) continue;
      // [quad, K] x [K, tokens before]
      simd::dot_products<C>(rest, t, n.rows, {q_quad_, n.rows}, {k_begin, n.rows},
                            {scores + t, subchunk_tokens});
      scale_keys<IsComplex>(k_begin, t, n, quad_total_, false);
    }
  }
  /// The same for the readers from `reader` on and all writers at once, whose gates are gone
  /// through once. Returns of how many tokens it is of use, the first ones. The diagonal of an
  /// exclusive reader is 0.
  template <readout... Reads, std::size_t Writers>
  index_t divide(const pairs_in_tiles<C, sizeof...(Reads), Writers>& from, index_t tokens,
                 index_t r, index_t reader, C* inverse = nullptr) const {
    constexpr std::size_t Readers = sizeof...(Reads);
    constexpr bool exclusive[] = {(Reads == readout::exclusive)...};
    constexpr index_t side = subchunk_tokens;
    const index_t count = tokens_in_subchunk(tokens, r), rest = tokens * n.rows;
    divided_rows<C, Readers, Writers> rows{{}, {}, {}, total_of(r), inverse};
    for (std::size_t m = 0; m < Readers; ++m)
      rows.q[m] = q_of(r) + (reader + static_cast<index_t>(m)) * rest;
    for (std::size_t w = 0; w < Writers; ++w) {
      rows.k[w] = k_of(r) + static_cast<index_t>(w) * rest;
      rows.k_divided[w] =
          k_divided_ + (static_cast<index_t>(w) * subchunks_of(tokens) + r) * side * n.rows;
    }
    const index_t safe = divide_rows<Reads...>(n.rows, count, from, rows);
    const auto scores = [&](std::size_t m, std::size_t w) {
      return of(tokens, reader + static_cast<index_t>(m), static_cast<index_t>(w)).scores_of(r);
    };
    if (Readers == 2 && two_readers_in_halves<C> && count == side) {
      transpose_two_readers(n.rows, static_cast<const C*>(rows.q[0]),
                            static_cast<const C*>(rows.q[Readers - 1]), q_transposed_);
      for (std::size_t w = 0; w < Writers; ++w)
        multiply_two_readers(n.rows, static_cast<const C*>(rows.k_divided[w]),
                             static_cast<const C*>(q_transposed_), scores(0, w),
                             scores(Readers - 1, w));
    } else {
      for (std::size_t m = 0; m < Readers; ++m) {
        if (count < side) fill(q_transposed_, side * n.rows, C(0));
        simd::transpose<C>(count, n.rows, {rows.q[m], n.rows}, {q_transposed_, side});
        for (std::size_t w = 0; w < Writers; ++w)
          multiply_keys(n, count, static_cast<const C*>(rows.k_divided[w]),
                        static_cast<const C*>(q_transposed_), side, scores(m, w));
      }
    }
    for (std::size_t m = 0; m < Readers; ++m)
      for (std::size_t w = 0; w < Writers; ++w)
        for (index_t t = 0; t < count; ++t)  // a quad's other half, and what does not read its own
          for (index_t s = t + (exclusive[m] ? 0 : 1); s < count && s / 4 == t / 4; ++s)
            scores(m, w)[s * side + t] = C(0);
    return safe;
  }
  /// What the first tokens of subchunk r have, of all readers and writers, is put aside, and back.
  void put_aside(index_t tokens, index_t r, index_t count) const {
    exchange_first(tokens, r, count, [](C& aside, C& x) { aside = x; });
  }
  void put_back(index_t tokens, index_t r, index_t count) const {
    exchange_first(tokens, r, count, [](C& aside, C& x) { x = aside; });
  }
  /// k^ and the totals alone.
  void set_keys(const matrix_tiles<C>& x, index_t tokens) const {
    const auto from = held(x);
    const auto to = held(*this);
    const auto shape = held(n);
    for (index_t r = 0; r < subchunks_of(tokens); ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(tokens, r);
      for (index_t i = 0; i < shape.key_pitch; i += simd::lanes<C>) {
        auto product = constant<IsComplex>(C(1));
        for (index_t t = first + count - 1; t >= first; --t) {
          const index_t row = t * shape.rows;
          const auto key = load_keys<IsComplex>(from.k + row, i, shape.key_pitch);
          store_keys<IsComplex>(to.k + row, i, shape.key_pitch, key * product);
          product = product * load_keys<IsComplex>(from.a + row, i, shape.key_pitch);
        }
        store_keys<IsComplex>(to.totals + r * shape.rows, i, shape.key_pitch, product);
      }
    }
  }
  /// q^ and the totals alone.
  template <readout Reads>
  void set_queries(const matrix_tiles<C>& x, index_t tokens) const {
    const auto from = held(x);
    const auto to = held(*this);
    const auto shape = held(n);
    for (index_t r = 0; r < subchunks_of(tokens); ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(tokens, r);
      for (index_t i = 0; i < shape.key_pitch; i += simd::lanes<C>) {
        auto product = constant<IsComplex>(C(1));
        for (index_t t = first; t < first + count; ++t) {
          const index_t row = t * shape.rows;
          const auto until_before = product;
          product = product * load_keys<IsComplex>(from.a + row, i, shape.key_pitch);
          const auto query = load_keys<IsComplex>(from.q + row, i, shape.key_pitch);
          const auto decay = Reads == readout::exclusive ? until_before : product;
          store_keys<IsComplex>(to.q + row, i, shape.key_pitch, conj(query * decay));
        }
        store_keys<IsComplex>(to.totals + r * shape.rows, i, shape.key_pitch, product);
      }
    }
  }

  /// k^ of all writers decays on to the chunk's end.
  void to_chunk_end(const matrix_tiles<C>& x, index_t tokens) const {
    for (index_t r = subchunks_of(tokens) - 2; r >= 0; --r) {
      const C* later = total_of(r + 1);
      for (index_t w = 0; w < writers_; ++w)
        scale_keys<IsComplex>(k_of(r) + w * tokens * n.rows, tokens_in_subchunk(tokens, r), n,
                              later, false);
      scale_keys<IsComplex>(total_of(r), 1, n, later, false);
    }
    set_gate_product<IsComplex>(x, static_cast<const C*>(totals), product_, product_low_);
  }
  /// q^ decays from the chunk's start.
  void from_chunk_start(const matrix_tiles<C>& x, index_t tokens) const {
    const index_t last = subchunks_of(tokens) - 1;
    for (index_t r = 1; r <= last; ++r) {
      const C* earlier = total_of(r - 1);
      scale_keys<IsComplex>(q_of(r), tokens_in_subchunk(tokens, r), n, earlier, true);
      scale_keys<IsComplex>(total_of(r), 1, n, earlier, false);
    }
    set_gate_product<IsComplex>(x, static_cast<const C*>(total_of(last)), product_, product_low_);
  }

 private:
  template <class F>
  void exchange_first(index_t tokens, index_t r, index_t count, F&& f) const {
    C* aside = aside_;
    for (index_t m = 0; m < readers_; ++m)
      for (index_t i = 0; i < count * n.rows; ++i) f(*aside++, of(tokens, m, 0).q_of(r)[i]);
    for (index_t pair = 0; pair < readers_ * writers_; ++pair) {
      C* const scores = of(tokens, pair % readers_, pair / readers_).scores_of(r);
      for (index_t s = 0; s < count; ++s)
        for (index_t t = 0; t < count; ++t) f(*aside++, scores[s * subchunk_tokens + t]);
    }
  }

  matrix_shape n{};
  index_t readers_ = 1, writers_ = 1;
  C *product_ = nullptr, *product_low_ = nullptr;  // [rows]
  C* scores_ = nullptr;                            // [writer][reader][subchunk][s][t]
  C *q_quad_ = nullptr, *quad_total_ = nullptr;
  C* k_divided_ = nullptr;     // [writer][token of whole subchunks][rows]: k_s / P_s
  C* q_transposed_ = nullptr;  // [rows][token] of a subchunk
  C* aside_ = nullptr;         // [reader]: [token][rows] and [writer][s][t] of a subchunk
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
