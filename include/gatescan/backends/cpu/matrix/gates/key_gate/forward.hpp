#pragma once
// Matrix states with a gate a key, a chunk at a time: surrogate attention inside the chunk, without
// a division. q^, k^ and P inside a subchunk are subchunks.hpp's;
//
//   P_ts = Re sum_i q^_t[i] (prod of the subchunks between)[i] k^_s[i]         across subchunks
//   o_t[V] = sum_{s<=t} P_ts v_s + Re (q^_t prod of earlier subchunks)[K]^T S_in[K, V]
//   S_out[K, V] = (prod of all gates)[K] S_in + sum_s (k^_s prod of later subchunks) v_s^T

#include "../../steps/fallback.hpp"
#include "subchunks.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// to[j][token] = from[token][j], 0 for tokens that whole subchunks would have besides.
template <class C>
void transpose_tokens(index_t tokens, index_t width, const C* from, C* to) {
  const index_t pitch = subchunks_of(tokens) * subchunk_tokens;
  if (tokens < pitch) fill(to, width * pitch, C(0));
  simd::transpose<C>(tokens, width, {from, width}, {to, pitch});
}
// Rows of queries as a left operand. Where panels are wide a number that is broadcast serves four
// registers, and rows are as good as columns (AVX-512: chunked forward 2 to 4 % faster than by way
// of a transpose); else they are transposed first,
// unless `transposed` has them.
template <class C>
auto left_of_products(const C* queries, index_t tokens, const matrix_shape& n, C* transposed,
                      bool transposes = true) {
  if constexpr (simd::widest_panel >= 4) {
    return simd::by_rows<C>(queries, n.rows);
  } else {
    const index_t pitch = subchunks_of(tokens) * subchunk_tokens;
    if (transposes) simd::transpose<C>(tokens, n.rows, {queries, n.rows}, {transposed, pitch});
    return simd::by_columns<C>(static_cast<const C*>(transposed), pitch);
  }
}
/// Values that a chunk's tokens write and the keys that they are written under.
template <class C>
struct written_values {
  const C* k;  // [token][rows]: k^
  const C* v;  // [token][value_pitch]
};
// o[t] += what queries of subchunk r read of what the subchunks before it wrote. They decay on to
// the chunk's first token. `across` has room for the scores of two subchunks.
template <bool IsComplex, class C, std::size_t Writers>
void read_earlier_subchunks(const decayed_subchunks<C, IsComplex>& decayed, const matrix_shape& n,
                            index_t tokens, index_t r, C* q,
                            const written_values<C> (&written)[Writers], C* o, C* across) {
  const index_t count = tokens_in_subchunk(tokens, r), vp = n.value_pitch;
  for (index_t b = r - 1; b >= 0; --b) {
    const index_t first = b * subchunk_tokens;
    for (const auto& [k, v] : written) {
      // [tokens, K] x [K, subchunk], x [subchunk, V]
      simd::dot_products<C>(count, subchunk_tokens, n.rows, {q, n.rows},
                            {k + first * n.rows, n.rows}, {across, subchunk_tokens});
      simd::add_product<C>(count, vp, subchunk_tokens,
                           simd::by_columns<C>(static_cast<const C*>(across), subchunk_tokens),
                           {v + first * vp, vp}, {o, vp});
    }
    scale_keys<IsComplex>(q, count, n, decayed.total_of(b), true);
  }
}
// The same of S_in, for a panel of columns, from queries that have decayed from the chunk's first
// token. Returns zeros, or NaN where that is not finite.
template <class C, class Queries>
simd::pack<C> read_state(index_t registers, const matrix_shape& n, index_t tokens, Queries queries,
                         const C* state_in, C* o, prefetching ahead) {
  // [tokens, K] x [K, registers]
  return simd::product_of_panel<C>(
      registers, tokens, n.rows, queries, {state_in, n.state_pitch}, {o, n.value_pitch},
      [o, pitch = n.value_pitch](index_t t, index_t v, simd::pack<C> sum) {
        return simd::load(o + t * pitch + v) + sum;
      },
      ahead);
}
// Blocks of rows that a chunk's forward multiplies, about.
template <class C>
index_t products_forward(const matrix_shape& n, index_t tokens) {
  return subchunks_of(tokens) +
         panels_of<C>(n) * (simd::row_blocks(tokens) + simd::row_blocks(n.rows));
}

template <class C, bool IsComplex, readout Reads = readout::inclusive>
class key_gate {
 public:
  key_gate() = default;
  key_gate(arena& scratch, const matrix_shape& n, index_t tokens)
      : decayed_(scratch, n, tokens), exact_(scratch, n, tokens) {
    across_ = scratch.take<C>(subchunk_tokens * subchunk_tokens);
    q_transposed_ = scratch.take<C>(n.rows * subchunks_of(tokens) * subchunk_tokens);
  }

  void forward(const token_chunk<C>& c, C* state_out) const {
    with_exact_fallback(
        [&] {
          attend_inside(c);
          return state_finite(through_state(c, gates(), c.x.n, state_out),
                              static_cast<const C*>(state_out), c.x.n);
        },
        [&] {
          c.keys->fill_tiles();
          exact_.forward(c, state_out);
        });
  }
  void advance(const token_chunk<C>& c, C* state_out) const {
    const matrix_shape& n = c.x.n;
    c.memory->begin(panels_of<C>(n) * simd::row_blocks(n.rows));
    with_exact_fallback(
        [&] {
          decayed_.set_keys(c.x, c.tokens);
          decayed_.to_chunk_end(c.x, c.tokens);
          return state_update<C, IsComplex>{n,       c.tokens,   decayed_.k, c.x.v,
                                            gates(), c.state_in, state_out,  true}
              .all(prefetching{c.memory});
        },
        [&] { exact_.advance(c, state_out); });
  }
  gate_product<C> gates() const { return decayed_.gates(); }

  const decayed_subchunks<C, IsComplex>& decayed() const { return decayed_; }
  const exact_steps<C, IsComplex, Reads>& exact() const { return exact_; }

  /// What the chunk's own tokens give o; leaves queries decayed from the chunk's start and keys
  /// decayed to its end.
  void attend_inside(const token_chunk<C>& c) const {
    const matrix_tiles<C>& x = c.x;
    const index_t vp = x.n.value_pitch, subchunks = subchunks_of(c.tokens);
    const written_values<C> written[] = {{decayed_.k, x.v}};
    c.memory->begin(products_forward<C>(x.n, c.tokens));
    for (index_t r = 0; r < subchunks; ++r) {
      const index_t first = r * subchunk_tokens, count = tokens_in_subchunk(c.tokens, r);
      C *o = x.o + first * vp, *q = decayed_.q_of(r);
      decayed_.set(*c.keys, c.tokens, r);
      // [tokens, tokens before] x [tokens before, V]
      simd::set_lower_product<C>(
          count, vp,
          simd::by_columns<C>(static_cast<const C*>(decayed_.scores_of(r)), subchunk_tokens),
          {x.v + first * vp, vp}, {o, vp});
      read_earlier_subchunks<IsComplex>(decayed_, x.n, c.tokens, r, q, written, o, across_);
      prefetching{c.memory}();
    }
    decayed_.to_chunk_end(x, c.tokens);
  }
  /// o += q^ S_in and, if there is room for it, S_out = gates S_in + k^ v, of states as `carried`
  /// says. Returns zeros, or NaN where one of them is not finite.
  simd::pack<C> through_state(const token_chunk<C>& c, gate_product<C> gates,
                              const matrix_shape& carried, C* state_out) const {
    const matrix_tiles<C>& x = c.x;
    const matrix_shape& n = x.n;
    const prefetching ahead{c.memory};
    const auto queries =
        left_of_products(static_cast<const C*>(decayed_.q), c.tokens, n, q_transposed_);
    const state_update<C, IsComplex> update{carried, c.tokens,   decayed_.k, x.v,
                                            gates,   c.state_in, state_out};
    // panel by panel, so that a panel of the state is read from near by the second time
    simd::pack<C> watch(0);
    simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
      watch += read_state(registers, n, c.tokens, queries, c.state_in + j, x.o + j, ahead);
      if (state_out != nullptr) watch += update.panel(registers, j, ahead);
    });
    return watch;
  }

 private:
  decayed_subchunks<C, IsComplex> decayed_{};
  exact_steps<C, IsComplex, Reads> exact_{};
  C* across_ = nullptr;        // [s][t]: P between two subchunks
  C* q_transposed_ = nullptr;  // [rows][tokens], of whole subchunks
};
static_assert(summarised_kernel<key_gate<float, false>, float> &&
              summarised_kernel<key_gate<double, true>, double>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
