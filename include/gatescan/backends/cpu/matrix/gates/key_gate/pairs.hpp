#pragma once
// Backward of a chunk with a gate a key, by pairs of what reads the states (queries) and what is
// written to them (keys with their values). Nothing is divided, no state inside the chunk is
// formed.
//
// A gate a_t is met by every pair of a query r >= t and a key s < t. With dP_rs = do_r . v_s,
//
//   Y_r(t) = sum_{s<t} dP_rs k_s prod_{s<j<t} a_j      what the keys before t look like to query r
//   x_r(t) = q_r prod_{t<j<=r} a_j                     query r as seen from after t
//
//   conj(dq_r) = Y_r(r + 1), of readers whose readout is exclusive Y_r(r)
//   conj(dk_t) = sum_{r>=t} x_r(t) dP_rt
//   conj(da_t) = sum_{r>=t} x_r(t) Y_r(t)              strictly causal: exact at a_t = 0
//   dv_s      += sum_{t>s} P_ts do_t + Re((k_s prod_{j>s} a_j)^H G)       t in later subchunks
//
// [K] each, dv [V]. S_in is one more key (its Y_r starts at S_in do_r) and S_out, whose gradient is
// G [K, V], one more query. Subchunks far apart meet through the same quantities at the subchunks'
// ends: Y, X = sum over later queries of conj(x) dP (the start of dk), and Z = sum of x Y over
// later queries (the start of da).

#include "divided_pairs.hpp"
#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// out[token][rows] = sum_j state[rows][j] x[token][j], by way of x transposed: all tokens of the
// chunk at once, so that a number of the state serves as many as registers hold.
template <class C>
void contract_state(const matrix_shape& n, index_t tokens, const C* state, const C* x_transposed,
                    C* columns, C* out, prefetching ahead) {
  const index_t pitch = subchunks_of(tokens) * subchunk_tokens;
  // [K, V] x [V, tokens]
  simd::set_product<C>(n.rows, pitch, n.value_pitch, simd::by_rows<C>(state, n.state_pitch),
                       {x_transposed, pitch}, {columns, pitch}, ahead);
  simd::transpose<C>(n.rows, tokens, {columns, pitch}, {out, n.rows});
}
/// Rows that read states, such as queries.
template <class C>
struct state_reader {
  const C* rows;          // [token][rows]
  const C* d_read;        // [token][value_pitch]: the gradient of what they read
  C* d_rows;              // [token][rows]: Y, and in the end the gradient of rows
  bool reads_own = true;  // what their own token writes, too
};
/// Keys with the values that are written under them.
template <class C>
struct state_writer {
  const C* rows;     // [token][rows]
  const C* decayed;  // [token][rows]: k^
  const C* values;   // [token][value_pitch]
  C* d_rows;         // [token][rows]: X, and in the end the gradient of rows
  C* d_values;       // [token][value_pitch]
};

template <class C, bool IsComplex>
class pairs_adjoint {
 public:
  pairs_adjoint() = default;
  pairs_adjoint(arena& scratch, const matrix_shape& n, index_t tokens, index_t readers = 1,
                index_t writers = 1)
      : writers_(writers) {
    const index_t subchunks = subchunks_of(tokens);
    transposed_ = scratch.take<C>(n.value_pitch * subchunks * subchunk_tokens);
    values_transposed_ = scratch.take<C>(writers * n.value_pitch * subchunks * subchunk_tokens);
    keys_transposed_ = scratch.take<C>(n.rows * subchunk_tokens);
    between_ = scratch.take<C>(subchunks * n.rows), z_ = scratch.take<C>(subchunks * n.rows);
    y_end_ = scratch.take<C>(n.rows);
    rows_ = scratch.take<C>(writers * subchunks * subchunk_tokens * n.rows);
    columns_ = scratch.take<C>(writers * subchunks * subchunk_tokens * n.rows);
    across_ = scratch.take<C>(subchunk_tokens * subchunk_tokens);
    d_scores_ = scratch.take<C>(readers * writers * subchunk_tokens * subchunk_tokens);
  }

  template <std::size_t Writers>
  void begin(const token_chunk<C>& c, const state_writer<C> (&writers)[Writers]) const {
    const index_t vp = c.x.n.value_pitch, pitch = values_pitch(c);
    for (std::size_t m = 0; m < Writers; ++m)
      for (index_t b = 0; b < subchunks_of(c.tokens); ++b) {
        const index_t count = tokens_in_subchunk(c.tokens, b);
        C* const to = transposed_values(m, b);
        for (index_t j = 0; count < subchunk_tokens && j < vp; ++j)
          fill(to + j * pitch + count, subchunk_tokens - count, C(0));
        simd::transpose<C>(count, vp, {writers[m].values + b * subchunk_tokens * vp, vp},
                           {to, pitch});
      }
  }
  /// S_in as a key of `tokens` readers: Y.
  void with_state_in(const token_chunk<C>& c, index_t tokens, const C* d_read, C* y) const {
    transpose_tokens(tokens, c.x.n.value_pitch, d_read, transposed_);
    contract_state(c.x.n, tokens, c.state_in, static_cast<const C*>(transposed_), columns_, y,
                   prefetching{c.memory});
  }
  /// Readers of subchunk r, decayed from its first token, with the keys of those before it: adds to
  /// their Y, X, gradients of values and z. After with_state_out, which sets all but Y.
  template <std::size_t Writers>
  void with_earlier_subchunks(const token_chunk<C>& c, index_t r,
                              const decayed_subchunks<C, IsComplex>& decayed,
                              const state_reader<C>& reader,
                              const state_writer<C> (&writers)[Writers]) const {
    const auto s = held(*this);
    const auto w = held(decayed);
    const auto n = held(c.x.n);
    const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
    const index_t kp = n.key_pitch, vp = n.value_pitch;
    const C* d_o = reader.d_read + first * vp;
    C* y = reader.d_rows + first * n.rows;
    const auto transposed = [](const C* scores) {  // row s, column t
      return simd::by_columns<C>(scores, subchunk_tokens);
    };
    set_between(n, r, decayed);
    for (index_t b = 0; b < r; ++b) {
      const index_t key = b * subchunk_tokens;
      C* q = s.rows_;
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        const auto gap = load_keys<IsComplex>(s.between_ + b * n.rows, i, kp);
        auto z = load_keys<IsComplex>(s.z_ + b * n.rows, i, kp);
        for (index_t t = 0; t < count; ++t) {
          const auto qt = load_keys<IsComplex>(w.q + (first + t) * n.rows, i, kp) * conj(gap);
          store_keys<IsComplex>(q + t * n.rows, i, kp, qt);
          z = fma(conj(qt), load_keys<IsComplex>(y + t * n.rows, i, kp), z);
        }
        store_keys<IsComplex>(s.z_ + b * n.rows, i, kp, z);
      }
      // Y = total Y + dP^T x [keys, K]
      scale_keys<IsComplex>(y, count, n, w.total_of(b), false);
      for (std::size_t m = 0; m < Writers; ++m) {
        const state_writer<C>& written = writers[m];
        const C* const k = written.decayed + key * n.rows;
        // dk += dP x [queries, K]
        set_d_scores(c, m, b, d_o, count, s.d_scores_);
        simd::add_product<C>(subchunk_tokens, n.rows, count, transposed(s.d_scores_), {q, n.rows},
                             {written.d_rows + key * n.rows, n.rows});
        // P: [queries, K] x [K, keys]; dv += P x [queries, V]
        simd::transpose<C>(subchunk_tokens, n.rows, {k, n.rows},
                           {s.keys_transposed_, subchunk_tokens});
        simd::set_product<C>(count, subchunk_tokens, n.rows,
                             simd::by_rows<C>(static_cast<const C*>(q), n.rows),
                             {s.keys_transposed_, subchunk_tokens}, {s.across_, subchunk_tokens});
        simd::add_product<C>(subchunk_tokens, vp, count, transposed(s.across_), {d_o, vp},
                             {written.d_values + key * vp, vp});
        simd::add_product<C>(count, n.rows, subchunk_tokens,
                             simd::by_rows<C>(s.d_scores_, subchunk_tokens), {k, n.rows},
                             {y, n.rows});
      }
    }
  }

  /// S_out as a query, after begin: X, gradients of values and z, from its gradient g.
  template <std::size_t Writers>
  void with_state_out(const token_chunk<C>& c, const decayed_subchunks<C, IsComplex>& decayed,
                      const C* g, const state_writer<C> (&writers)[Writers]) const {
    const auto s = held(*this);
    const auto w = held(decayed);
    const auto n = held(c.x.n);
    const index_t subchunks = subchunks_of(c.tokens), kp = n.key_pitch, vp = n.value_pitch;
    const prefetching ahead{c.memory};
    start_y_end(n, c.state_in, g);
    set_between(n, subchunks, decayed);
    state_writer<C> written[Writers];
    C* seen[Writers];  // [token][rows]: what G makes of the values
    const index_t pitch = values_pitch(c);
    // [K, V] x [V, tokens] of all writers
    simd::set_product<C>(n.rows, pitch, vp, simd::by_rows<C>(g, n.state_pitch),
                         {transposed_values(0, 0), pitch}, {s.columns_, pitch}, ahead);
    for (std::size_t m = 0; m < Writers; ++m) {
      written[m] = writers[m];
      seen[m] = s.rows_ + static_cast<index_t>(m) * subchunks * subchunk_tokens * n.rows;
      for (index_t b = 0; b < subchunks; ++b)
        simd::transpose<C>(
            n.rows, tokens_in_subchunk(c.tokens, b),
            {s.columns_ + (transposed_values(m, b) - transposed_values(0, 0)), pitch},
            {seen[m] + b * subchunk_tokens * n.rows, n.rows});
    }
    for (index_t b = 0; b < subchunks; ++b) {
      const index_t first = b * subchunk_tokens, count = tokens_in_subchunk(c.tokens, b);
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        const auto gap = load_keys<IsComplex>(s.between_ + b * n.rows, i, kp);
        auto y = load_keys<IsComplex>(s.y_end_, i, kp);
        store_keys<IsComplex>(s.z_ + b * n.rows, i, kp, gap * y);
        y = y * load_keys<IsComplex>(w.total_of(b), i, kp);
        for (std::size_t m = 0; m < Writers; ++m)
          for (index_t row = first * n.rows; row < (first + count) * n.rows; row += n.rows) {
            C *const u = seen[m] + row, *const dk = written[m].d_rows + row;
            const auto ut = load_keys<IsComplex>(u, i, kp);
            const auto k = load_keys<IsComplex>(written[m].decayed + row, i, kp);
            store_keys<IsComplex>(dk, i, kp, conj(gap) * ut);
            y = fma(k, conj(ut), y);
            store_keys<IsComplex>(u, i, kp, k * gap);  // from here on k^ decayed to the chunk's end
          }
        store_keys<IsComplex>(s.y_end_, i, kp, y);
      }
    }
    simd::for_each_panel<C>(vp, [&](index_t j, index_t registers) {
      for (std::size_t m = 0; m < Writers; ++m)  // [tokens, K] x [K, registers]
        simd::product_of_panel<C>(
            registers, c.tokens, n.rows, simd::by_rows<C>(static_cast<const C*>(seen[m]), n.rows),
            {g + j, n.state_pitch}, {written[m].d_values + j, vp},
            [](index_t, index_t, simd::pack<C> sum) { return sum; }, ahead);
    });
  }
  /// Pairs inside subchunk b, and the way from Y, X, Z at its ends to gradients of readers, writers
  /// and gates of every token. Readers whose readout is exclusive do not meet the gate of their own
  /// token, nor its keys.
  template <readout... Reads, std::size_t Writers>
  void inside(const token_chunk<C>& c, index_t b,
              const state_reader<C> (&readers)[sizeof...(Reads)],
              const state_writer<C> (&writers)[Writers], C* da) const {
    using E = element_t<C, IsComplex>;
    constexpr std::size_t Readers = sizeof...(Reads);
    constexpr bool exclusive[] = {(Reads == readout::exclusive)...};
    const auto x = held(c.x);
    const index_t kp = x.n.key_pitch, rows = x.n.rows, vp = x.n.value_pitch;
    const index_t first = b * subchunk_tokens, count = tokens_in_subchunk(c.tokens, b);
    const C *const z = z_ + b * rows, *const gates = x.a + first * rows;
    const C *r_rows[Readers], *d_scores[Readers][Writers], *w_rows[Writers];
    C *d_read[Readers], *d_written[Writers];
    for (std::size_t w = 0; w < Writers; ++w)
      w_rows[w] = writers[w].rows + first * rows, d_written[w] = writers[w].d_rows + first * rows;
    C* scores = d_scores_;
    for (std::size_t m = 0; m < Readers; ++m) {
      r_rows[m] = readers[m].rows + first * rows, d_read[m] = readers[m].d_rows + first * rows;
      for (std::size_t w = 0; w < Writers; ++w, scores += subchunk_tokens * subchunk_tokens) {
        d_scores[m][w] = scores;
        set_d_scores(c, w, b, readers[m].d_read + first * vp, count, scores);
        for (index_t t = 0; !readers[m].reads_own && t < count; ++t)
          scores[t * subchunk_tokens + t] = C(0);
      }
    }
    da += first * rows;
    for (index_t i = 0; i < kp; i += simd::lanes<C>) {
      E y[Readers][subchunk_tokens];
      for (std::size_t m = 0; m < Readers; ++m)
        for (index_t t = 0; t < count; ++t)
          y[m][t] = load_keys<IsComplex>(d_read[m] + t * rows, i, kp);
      E y_end = load_keys<IsComplex>(z, i, kp);
      for (index_t t = 0; t < count; ++t) {
        E decay = constant<IsComplex>(C(1)), sum_a = constant<IsComplex>(C(0)), sums[Writers];
        for (E& sum : sums) sum = sum_a;
        const auto meet = [&](index_t r, bool before_gate) __attribute__((always_inline)) {
#pragma GCC unroll 2
          for (std::size_t m = 0; m < Readers; ++m) {
            if (exclusive[m] != before_gate) continue;
            const E q = load_keys<IsComplex>(r_rows[m] + r * rows, i, kp) * decay;
            sum_a = fma(q, y[m][r], sum_a);
#pragma GCC unroll 2
            for (std::size_t w = 0; w < Writers; ++w)
              sums[w] = fma(q, simd::pack<C>(d_scores[m][w][r * subchunk_tokens + t]), sums[w]);
          }
        };
        meet(t, false);
        for (index_t r = t + 1; r < count; ++r) {
          meet(r, true);
          decay = decay * load_keys<IsComplex>(gates + r * rows, i, kp);
          meet(r, false);
        }
        sum_a = fma(decay, y_end, sum_a);
        store_keys<IsComplex>(da + t * rows, i, kp, conj(sum_a));

        const E a = load_keys<IsComplex>(gates + t * rows, i, kp);
        E k[Writers], written = constant<IsComplex>(C(0));
#pragma GCC unroll 2
        for (std::size_t w = 0; w < Writers; ++w) {
          C* const dk = d_written[w] + t * rows;
          const E x_end = conj(load_keys<IsComplex>(dk, i, kp));
          store_keys<IsComplex>(dk, i, kp, conj(fma(decay, x_end, sums[w])));
          k[w] = load_keys<IsComplex>(w_rows[w] + t * rows, i, kp);
          written = w == 0 ? k[w] * x_end : fma(k[w], x_end, written);
        }
        y_end = fma(a, y_end, written);
#pragma GCC unroll 2
        for (std::size_t m = 0; m < Readers; ++m) {
          for (index_t r = t + (exclusive[m] ? 1 : 0); r < count; ++r) {
            y[m][r] = a * y[m][r];
#pragma GCC unroll 2
            for (std::size_t w = 0; w < Writers; ++w)
              y[m][r] = fma(k[w], simd::pack<C>(d_scores[m][w][r * subchunk_tokens + t]), y[m][r]);
          }
          store_keys<IsComplex>(d_read[m] + t * rows, i, kp, conj(y[m][t]));
        }
      }
    }
  }
  /// The same where the subchunk was divided, of queries that read their own token.
  void inside_divided(const token_chunk<C>& c, index_t b,
                      const decayed_subchunks<C, IsComplex>& decayed, const C* inverse,
                      const state_reader<C>& reader, const state_writer<C>& writer, C* da) const {
    const index_t rows = c.x.n.rows, vp = c.x.n.value_pitch;
    const index_t first = b * subchunk_tokens, count = tokens_in_subchunk(c.tokens, b);
    set_d_scores(c, 0, b, reader.d_read + first * vp, count, d_scores_);
    const divided_pairs<C> x{rows,
                             c.x.a + first * rows,
                             decayed.q_of(b),
                             decayed.k_divided_of(b),
                             inverse + first * rows,
                             decayed.total_of(b),
                             z_ + b * rows,
                             d_scores_,
                             reader.d_rows + first * rows,
                             writer.d_rows + first * rows,
                             da + first * rows};
    if (count == subchunk_tokens)
      meet_divided<subchunk_tokens>(x, count);
    else
      meet_divided<0>(x, count);
  }

  /// Z at the end of subchunk b.
  C* z_of(const matrix_shape& n, index_t b) const { return z_ + b * n.rows; }
  /// to[query][key] = dP of some queries and subchunk b's keys.
  void set_d_scores(const token_chunk<C>& c, std::size_t writer, index_t b, const C* d_read,
                    index_t queries, C* to) const {
    multiply_values(c, transposed_values(writer, b), 1, d_read, queries, to);
  }
  /// to[query][writer][key]: of all writers.
  void set_d_scores(const token_chunk<C>& c, index_t b, const C* d_read, index_t queries,
                    C* to) const {
    multiply_values(c, transposed_values(0, b), writers_, d_read, queries, to);
  }

 private:
  // Of a subchunk's keys, [value_pitch][subchunk][writer][token].
  C* transposed_values(std::size_t writer, index_t b) const {
    return values_transposed_ + (b * writers_ + static_cast<index_t>(writer)) * subchunk_tokens;
  }
  index_t values_pitch(const token_chunk<C>& c) const {
    return subchunks_of(c.tokens) * writers_ * subchunk_tokens;
  }
  void multiply_values(const token_chunk<C>& c, const C* values, index_t writers, const C* d_read,
                       index_t queries, C* to) const {
    const index_t vp = c.x.n.value_pitch, keys = writers * subchunk_tokens;
    // [queries, V] x [V, keys]
    simd::set_product<C>(queries, keys, vp, simd::by_rows<C>(d_read, vp), {values, values_pitch(c)},
                         {to, keys});
  }
  // between[b] = product of the subchunks between b and `end`, for all before it.
  void set_between(const matrix_shape& n, index_t end,
                   const decayed_subchunks<C, IsComplex>& decayed) const {
    const index_t kp = n.key_pitch;
    for (index_t b = end - 1; b >= 0; --b)
      for (index_t i = 0; i < kp; i += simd::lanes<C>) {
        auto product = constant<IsComplex>(C(1));
        if (b < end - 1)
          product = load_keys<IsComplex>(between_ + (b + 1) * n.rows, i, kp) *
                    load_keys<IsComplex>(decayed.total_of(b + 1), i, kp);
        store_keys<IsComplex>(between_ + b * n.rows, i, kp, product);
      }
  }

  // y_end = sum_j conj(g) S_in
  void start_y_end(const matrix_shape& n, const C* state_in, const C* g) const {
    using P = simd::pack<C>;
    const index_t kp = n.key_pitch;
    for (index_t i = 0; i < kp; ++i) {
      P re(0), im(0);
      for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>) {
        const index_t at = i * n.state_pitch + j, at_im = (kp + i) * n.state_pitch + j;
        const P g_re = simd::load(g + at), s_re = simd::load(state_in + at);
        re = simd::fma(g_re, s_re, re);
        if constexpr (IsComplex) {
          const P g_im = simd::load(g + at_im), s_im = simd::load(state_in + at_im);
          re = simd::fma(g_im, s_im, re);
          im = simd::fma(g_re, s_im, simd::fma(-g_im, s_re, im));
        }
      }
      y_end_[i] = simd::sum(re);
      if constexpr (IsComplex) y_end_[kp + i] = simd::sum(im);
    }
  }

  index_t writers_ = 1;
  C* transposed_ = nullptr;         // [value_pitch][token of whole subchunks]
  C* values_transposed_ = nullptr;  // [value_pitch][subchunk][writer][token]
  C* keys_transposed_ = nullptr;    // [rows][token] of a subchunk
  C* between_ = nullptr;   // [subchunk][rows]: product of the subchunks between it and the query's
  C* z_ = nullptr;         // [subchunk][rows]
  C* y_end_ = nullptr;     // [rows]
  C* rows_ = nullptr;      // [writer][token][rows]
  C* columns_ = nullptr;   // [rows][subchunk][writer][token]
  C* across_ = nullptr;    // [s][t]: P between two subchunks
  C* d_scores_ = nullptr;  // [t][s]: dP of two subchunks, or of one for every reader and writer
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
