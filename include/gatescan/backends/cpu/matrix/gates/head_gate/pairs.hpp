#pragma once
// Backward of a chunk whose keys have one real gate a token, by pairs of what reads the states
// (queries, and p of a corrected transition) and the keys that values are written under. With
//
//   D(t,s) = prod_{s<j<=t} a_j,  M_ts = (do_t . v_s) D(t,s),  P_ts = (q_t . k_s) D(t,s)
//   b_t    = prod_{j<=t} a_j,    e_s  = prod_{j>s} a_j,       G[K, V] the gradient of S_out
//
// s <= t, or s < t for a reader that does not read what its own token writes, and sums over readers
// where there are several:
//
//   dq_t[K] = sum_s M_ts k_s  + b_t S_in[K, V] do_t[V]
//   dk_s[K] = sum_t M_ts q_t  + e_s G v_s
//   dv_s[V] = sum_t P_ts do_t + e_s G^T k_s
//   G_in    = (prod of all gates) G + sum_t q_t (b_t do_t)^T
//
// A pair E_ts = (do_t . v_s) (q_t . k_s) goes through the gates s < j <= t. S_in is one more key
// (E = q_t . S_in do_t), S_out one more query (E = k_s . G v_s). Nothing is divided:
//
//   x_s(j) = sum_{t>=j} E_ts D(t,j) = E_js + a_{j+1} x_s(j+1)     what later queries see of key s
//   da_j   = sum_{s<j} D(j-1,s) x_s(j)

#include "../key_gate/pairs.hpp"
#include "decays.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Rows of N tokens: dots += x . y, then x *= factor.
template <std::size_t N, class C>
GATESCAN_INLINE void dot_and_scale(index_t rows, C* x, const C* y, const C* factor, C* dots) {
  using P = simd::pack<C>;
  P sums[N];
#pragma GCC unroll 16
  for (P& sum : sums) sum = P(0);
  for (index_t i = 0; i < rows; i += simd::lanes<C>)
#pragma GCC unroll 16
    for (index_t t = 0; t < index_t{N}; ++t) {
      const P z = simd::load(x + t * rows + i);
      sums[t] = simd::fma(z, simd::load(y + t * rows + i), sums[t]);
      simd::store(x + t * rows + i, P(factor[t]) * z);
    }
  C added[N];
  simd::sum_each(sums, added);
  for (std::size_t t = 0; t < N; ++t) dots[t] += added[t];
}

// The same of all tokens' rows: dots[token] += x . y, then x *= factor[token].
template <class C>
void dot_and_scale_rows(index_t rows, index_t tokens, C* x, const C* y, const C* factor, C* dots) {
  constexpr index_t together = simd::lanes<C>;
  index_t t = 0;
  for (; t + together <= tokens; t += together)
    dot_and_scale<static_cast<std::size_t>(together)>(rows, x + t * rows, y + t * rows, factor + t,
                                                      dots + t);
  for (; t < tokens; ++t) dot_and_scale<1>(rows, x + t * rows, y + t * rows, factor + t, dots + t);
}

// columns[rows][token] turned to x[token][rows]: dots[token] += x . y, then x *= factor[token].
// Keys are summed over while tokens are in the lanes.
template <class C>
void turn_dot_and_scale(index_t rows, index_t tokens, simd::matrix<const C> columns,
                        simd::matrix<const C> y_columns, const C* y, const C* factor, C* x,
                        C* dots) {
  using P = simd::pack<C>;
  constexpr index_t width = simd::lanes<C>;
  index_t t = 0;
  for (; t + width <= tokens; t += width) {
    const P scale = simd::load(factor + t);
    P sums[2] = {P(0), P(0)};
    for (index_t i = 0; i < rows; i += width) {
      P block[static_cast<std::size_t>(width)];
#pragma GCC unroll 16
      for (index_t m = 0; m < width; ++m) {
        const P z = simd::load(columns.data + (i + m) * columns.pitch + t);
        const P by = simd::load(y_columns.data + (i + m) * y_columns.pitch + t);
        sums[m % 2] = simd::fma(z, by, sums[m % 2]);
        block[m] = scale * z;
      }
      simd::transpose(block);
#pragma GCC unroll 16
      for (index_t m = 0; m < width; ++m) simd::store(x + (t + m) * rows + i, block[m]);
    }
    simd::store(dots + t, simd::load(dots + t) + (sums[0] + sums[1]));
  }
  if (t == tokens) return;
  simd::transpose<C>(rows, tokens - t, {columns.data + t, columns.pitch}, {x + t * rows, rows});
  dot_and_scale_rows(rows, tokens - t, x + t * rows, y + t * rows, factor + t, dots + t);
}

// to[s] += sum_t scores[t][s] x[t], keys of a subchunk with queries of their own or of a later one.
// What is not finite must not come from queries before s, not even times 0.
template <class C>
void add_from_queries(bool own, index_t keys, index_t queries, index_t pitch, const C* scores,
                      const C* x, C* to) {
  const auto left = simd::by_columns<C>(scores, subchunk_tokens);
  if (own)
    simd::add_upper_product<C>(keys, pitch, left, {x, pitch}, {to, pitch});
  else
    simd::add_product<C>(keys, pitch, queries, left, {x, pitch}, {to, pitch});
}

template <class C>
C dot_of_states(const matrix_shape& n, const C* a, const C* b) {
  using P = simd::pack<C>;
  constexpr index_t width = simd::lanes<C>;
  P sums[2] = {P(0), P(0)};
  for (index_t i = 0; i < n.rows; ++i) {
    const C *x = a + i * n.state_pitch, *y = b + i * n.state_pitch;
    index_t j = 0;
    for (; j + 2 * width <= n.value_pitch; j += 2 * width) {
      sums[0] = simd::fma(simd::load(x + j), simd::load(y + j), sums[0]);
      sums[1] = simd::fma(simd::load(x + j + width), simd::load(y + j + width), sums[1]);
    }
    if (j < n.value_pitch) sums[0] = simd::fma(simd::load(x + j), simd::load(y + j), sums[0]);
  }
  return simd::sum(sums[0] + sums[1]);
}

template <class C>
class head_pairs_adjoint {
 public:
  head_pairs_adjoint() = default;
  head_pairs_adjoint(arena& scratch, const matrix_shape& n, index_t tokens,
                     const head_decays<C>& decays, index_t readers = 1)
      : decays_(decays) {
    constexpr index_t side = subchunk_tokens;
    const index_t subchunks = subchunks_of(tokens), whole = subchunks * side;
    decay_ = scratch.take<C>(subchunks * whole * side);
    products_ = scratch.take<C>(readers * subchunks * whole * side);
    scores_ = scratch.take<C>(readers * subchunks * whole * side);
    d_scores_ = scratch.take<C>(readers * whole * side);
    keys_transposed_ = scratch.take<C>(whole * n.rows);
    values_transposed_ = scratch.take<C>(whole * n.value_pitch);
    d_read_transposed_ = scratch.take<C>(readers * whole * n.value_pitch);
    columns_ = scratch.take<C>(readers * whole * n.rows);
    of_state_in_ = scratch.take<C>(whole), of_state_out_ = scratch.take<C>(whole);
    gate_sums_ = scratch.take<C>(whole * simd::lanes<C>);
  }

  /// All decays, and with new keys q.k of every reader.
  template <std::size_t Readers>
  void begin(const token_chunk<C>& c, const state_reader<C> (&readers)[Readers]) const {
    begin(c);
    if (c.same_keys) return;
    for (std::size_t m = 0; m < Readers; ++m) set_products(c, m, readers[m].rows);
  }
  /// All decays, and new keys, for set_products.
  void begin(const token_chunk<C>& c) const {
    decays_.set_from_start(c.x, c.tokens);
    decays_.set_to_end(c.x, c.tokens);
    decays_.set_gates(c.x, decays_.from_start[c.tokens - 1]);
    set_decays(c.x.head_gate, c.tokens);
    fill(gate_sums_, c.tokens * simd::lanes<C>, C(0));
    if (c.same_keys) return;
    transpose_tokens(c.tokens, c.x.n.rows, static_cast<const C*>(c.x.k), keys_transposed_);
  }
  /// A reader's q.k.
  void set_products(const token_chunk<C>& c, std::size_t reader, const C* q) const {
    constexpr index_t side = subchunk_tokens;
    const index_t rows = c.x.n.rows, subchunks = subchunks_of(c.tokens), whole = subchunks * side;
    for (index_t b = 0; b < subchunks; ++b)  // [queries, K] x [K, keys]
      simd::set_product<C>(
          c.tokens - b * side, side, rows, simd::by_rows<C>(q + b * side * rows, rows),
          {keys_transposed_ + b * side, whole}, {of(products_, c.tokens, reader, b), side});
  }
  /// Where they are, and how many numbers.
  C* products(index_t tokens, std::size_t reader) const { return of(products_, tokens, reader, 0); }
  static index_t products_size(index_t tokens) {
    const index_t whole = subchunks_of(tokens) * subchunk_tokens;
    return whole * whole;
  }
  /// P of a reader, [t][s] of subchunk b's keys and the queries from its first on. Of later
  /// subchunks they come times `sign`.
  C* scores(index_t tokens, std::size_t reader, index_t b) const {
    return of(scores_, tokens, reader, b);
  }
  template <bool ReadsOwn>
  void set_scores(const token_chunk<C>& c, std::size_t reader, C sign = C(1)) const {
    using P = simd::pack<C>;
    constexpr index_t side = subchunk_tokens;
    for (index_t b = 0; b < subchunks_of(c.tokens); ++b) {
      const C *const products = of(products_, c.tokens, reader, b), *const d =
                                                                        decays_of(c.tokens, b);
      C* const to = scores(c.tokens, reader, b);
      const index_t queries = c.tokens - b * side;
      for (index_t s = 0; s < side; s += simd::lanes<C>)
        for (index_t t = 0; t < queries; ++t) {
          const index_t at = t * side + s;
          const P decay = read_decay<ReadsOwn>(c.x.head_gate + b * side, d, t, s);
          const P score = simd::load(products + at) * decay;
          simd::store(to + at, t < side ? score : P(sign) * score);
        }
    }
  }

  /// S_in as a key: gradients of readers.
  template <std::size_t Readers>
  void with_state_in(const token_chunk<C>& c, const state_reader<C> (&readers)[Readers]) const {
    const matrix_shape& n = c.x.n;
    const index_t whole = subchunks_of(c.tokens) * subchunk_tokens;
    constexpr index_t count = Readers;
    const index_t pitch = count * whole;
    for (index_t m = 0; m < count; ++m)
      transpose_to(n.value_pitch, c.tokens, readers[m].d_read, d_read_transposed_ + m * whole,
                   whole, pitch);
    // [K, V] x [V, tokens]
    simd::set_product<C>(n.rows, pitch, n.value_pitch, simd::by_rows<C>(c.state_in, n.state_pitch),
                         {d_read_transposed_, pitch}, {columns_, pitch}, prefetching{c.memory});
    fill(of_state_in_, c.tokens, C(0));
    for (index_t m = 0; m < count; ++m) {
      simd::transpose<C>(n.rows, c.tokens, {columns_ + m * whole, pitch},
                         {readers[m].d_rows, n.rows});
      dot_and_scale_rows(n.rows, c.tokens, readers[m].d_rows, readers[m].rows,
                         static_cast<const C*>(decays_.from_start), of_state_in_);
    }
  }
  /// S_out as a query, from its gradient g: gradients of keys.
  void with_state_out(const token_chunk<C>& c, const C* g, const C* values, C* dk) const {
    const matrix_shape& n = c.x.n;
    const index_t whole = subchunks_of(c.tokens) * subchunk_tokens;
    transpose_tokens(c.tokens, n.value_pitch, values, values_transposed_);
    // [K, V] x [V, tokens]
    simd::set_product<C>(n.rows, whole, n.value_pitch, simd::by_rows<C>(g, n.state_pitch),
                         {values_transposed_, whole}, {columns_, whole}, prefetching{c.memory});
    fill(of_state_out_, whole, C(0));
    turn_dot_and_scale<C>(n.rows, c.tokens, {columns_, whole}, {keys_transposed_, whole}, c.x.k,
                          decays_.to_end, dk, of_state_out_);
  }
  /// The same: gradients of values.
  void values_with_state_out(const token_chunk<C>& c, const C* g, C* dv) const {
    const matrix_shape& n = c.x.n;
    const index_t whole = subchunks_of(c.tokens) * subchunk_tokens;
    simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
      // [tokens, K] x [K, registers]
      simd::product_of_panel<C>(
          registers, c.tokens, n.rows, simd::by_columns<C>(keys_transposed_, whole),
          {g + j, n.state_pitch}, {dv + j, n.value_pitch},
          [e = decays_.to_end](index_t t, index_t, simd::pack<C> sum) {
            return simd::pack<C>(e[t]) * sum;
          },
          prefetching{c.memory});
    });
  }
  /// dv += P^T x, the keys of subchunk b with a reader's tokens of subchunk r: that one or a later.
  void add_values(const token_chunk<C>& c, std::size_t reader, index_t b, index_t r, const C* x,
                  C* dv) const {
    constexpr index_t side = subchunk_tokens;
    const index_t vp = c.x.n.value_pitch;
    add_from_queries(r == b, tokens_in_subchunk(c.tokens, b), tokens_in_subchunk(c.tokens, r), vp,
                     static_cast<const C*>(scores(c.tokens, reader, b)) + (r - b) * side * side,
                     x + r * side * vp, dv + b * side * vp);
  }
  /// Pairs of subchunk b's keys with every reader from the subchunk's first token on: gradients of
  /// both and of gates. After with_state_out. Readers say whether they read their own token's key.
  template <bool... ReadsOwn>
  void keys_with_queries(const token_chunk<C>& c, index_t b,
                         const state_reader<C> (&readers)[sizeof...(ReadsOwn)], C* dk) const {
    constexpr index_t side = subchunk_tokens;
    constexpr std::size_t Readers = sizeof...(ReadsOwn);
    const matrix_shape& n = c.x.n;
    const index_t whole = subchunks_of(c.tokens) * side, kp = n.rows, vp = n.value_pitch;
    const index_t from = b * side, keys = tokens_in_subchunk(c.tokens, b);
    const index_t queries = c.tokens - from;
    const auto d_scores = [&](std::size_t m) {
      return d_scores_ + static_cast<index_t>(m) * whole * side;
    };
    for (std::size_t m = 0; m < Readers; ++m)  // [queries, V] x [V, keys]
      simd::set_product<C>(queries, side, vp, simd::by_rows<C>(readers[m].d_read + from * vp, vp),
                           {values_transposed_ + from, whole}, {d_scores(m), side});
    add_gate_sums<ReadsOwn...>(c, b);
    for (std::size_t m = 0; m < Readers; ++m) {  // [queries, keys] x [keys, K]
      const simd::matrix<const C> k{c.x.k + from * kp, kp};
      C* const dq = readers[m].d_rows + from * kp;
      simd::add_lower_product<C>(keys, kp, simd::by_rows<C>(d_scores(m), side), k, {dq, kp});
      if (queries > side)
        simd::add_product<C>(queries - side, kp, side,
                             simd::by_rows<C>(d_scores(m) + side * side, side), k,
                             {dq + side * kp, kp});
    }
    // [keys, queries] x [queries, K]: readers by turns, as p takes back what q gives
    for (index_t r = subchunks_of(c.tokens) - 1; r >= b; --r)
      for (std::size_t m = 0; m < Readers; ++m)
        add_from_queries(r == b, keys, tokens_in_subchunk(c.tokens, r), kp,
                         static_cast<const C*>(d_scores(m)) + (r - b) * side * side,
                         readers[m].rows + r * side * kp, dk + from * kp);
  }
  /// da[token], in whole registers: what the pairs with S_in give the gates, S_in with S_out among
  /// them, and what all others have given.
  void gate_gradients(const token_chunk<C>& c, const C* g, C* da) const {
    C x = dot_of_states(c.x.n, c.state_in, g), after(1);
    for (index_t t = c.tokens - 1; t >= 0; --t) {
      x = after * x + of_state_in_[t];
      after = c.x.head_gate[t];
      const C before = t > 0 ? decays_.from_start[t - 1] : C(1);
      da[t] = before * x + simd::sum(simd::load(gate_sums_ + t * simd::lanes<C>));
    }
    fill(da + c.tokens, padded<C>(c.tokens) - c.tokens, C(0));
  }

 private:
  // Of a reader and subchunk b's keys, [t][s].
  static C* of(C* all, index_t tokens, std::size_t reader, index_t b) {
    const index_t subchunks = subchunks_of(tokens);
    return all + (static_cast<index_t>(reader) * subchunks + b) * subchunks * subchunk_tokens *
                     subchunk_tokens;
  }
  C* decays_of(index_t tokens, index_t b) const { return of(decay_, tokens, 0, b); }

  // D(t,s) of all pairs, 0 where s > t.
  void set_decays(const C* gates, index_t tokens) const {
    using P = simd::pack<C>;
    constexpr index_t side = subchunk_tokens;
    static constexpr C unit_rows[2 * side] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
    for (index_t b = 0; b < subchunks_of(tokens); ++b) {
      const C* const a = gates + b * side;
      C* const to = decays_of(tokens, b);
      for (index_t s = 0; s < side; s += simd::lanes<C>) {
        P d(0);
        for (index_t t = 0; t < tokens - b * side; ++t) {
          d = t < side ? simd::fma(P(a[t]), d, simd::load(unit_rows + side - t + s)) : P(a[t]) * d;
          simd::store(to + t * side + s, d);
        }
      }
    }
  }
  // D(t,s), for a reader that does not read its own token's key 0 where s = t.
  template <bool ReadsOwn>
  static GATESCAN_INLINE simd::pack<C> read_decay(const C* gates, const C* decays, index_t t,
                                                  index_t s) {
    using P = simd::pack<C>;
    if (ReadsOwn) return simd::load(decays + t * subchunk_tokens + s);
    return t > 0 ? P(gates[t]) * simd::load(decays + (t - 1) * subchunk_tokens + s) : P(0);
  }
  // do.v of subchunk b's keys becomes M, and gates get their sums.
  template <bool... ReadsOwn>
  void add_gate_sums(const token_chunk<C>& c, index_t b) const {
    using P = simd::pack<C>;
    constexpr index_t side = subchunk_tokens, width = simd::lanes<C>;
    constexpr std::size_t Readers = sizeof...(ReadsOwn);
    const index_t from = b * side, queries = c.tokens - from;
    const index_t size = subchunks_of(c.tokens) * side * side;
    const C *const gates = c.x.head_gate + from, *const decays = decays_of(c.tokens, b);
    C* const sums = gate_sums_ + from * width;
    const C* products[Readers];
    for (std::size_t m = 0; m < Readers; ++m) products[m] = of(products_, c.tokens, m, b);
    for (index_t s = 0; s < side; s += width) {
      P later = simd::load(of_state_out_ + from + s), a(1);
      for (index_t t = queries - 1; t >= 0; --t) {
        const index_t at = t * side + s;
        P pairs(0);
        std::size_t m = 0;
        const auto meet = [&](P decay) __attribute__((always_inline)) {
          C* const d = d_scores_ + static_cast<index_t>(m) * size + at;
          const P dv = simd::load(d);
          pairs = m == 0 ? simd::load(products[m] + at) * dv
                         : simd::fma(simd::load(products[m] + at), dv, pairs);
          simd::store(d, dv * decay);
          ++m;
        };
        (meet(read_decay<ReadsOwn>(gates, decays, t, s)), ...);
        later = simd::fma(a, later, pairs);
        a = P(gates[t]);
        if (t == 0) break;
        C* const sum = sums + t * width;
        simd::store(sum, simd::fma(simd::load(decays + at - side), later, simd::load(sum)));
      }
    }
  }
  // to[j][token] = from[token][j], rows `pitch` apart, 0 for tokens up to `whole`.
  static void transpose_to(index_t columns, index_t tokens, const C* from, C* to, index_t whole,
                           index_t pitch) {
    for (index_t j = 0; tokens < whole && j < columns; ++j)
      fill(to + j * pitch + tokens, whole - tokens, C(0));
    simd::transpose<C>(tokens, columns, {from, columns}, {to, pitch});
  }

  head_decays<C> decays_{};
  C* decay_ = nullptr;              // [subchunk of keys][t][s]: D
  C* products_ = nullptr;           // [reader][subchunk of keys][t][s]: q.k
  C* scores_ = nullptr;             // the same: P
  C* d_scores_ = nullptr;           // [reader][t][s] of a subchunk's keys: do.v, then M
  C* keys_transposed_ = nullptr;    // [rows][token of whole subchunks]
  C* values_transposed_ = nullptr;  // [value_pitch][token of whole subchunks]
  C* d_read_transposed_ = nullptr;  // [value_pitch][reader][token of whole subchunks]
  C* columns_ = nullptr;            // [rows][reader][token of whole subchunks]
  C* of_state_in_ = nullptr;        // [token]: q_t . S_in do_t
  C* of_state_out_ = nullptr;       // [token]: k_s . G v_s
  C* gate_sums_ = nullptr;          // [token][lanes]: da, its lanes still to be added up
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
