#pragma once
// Matrix states, a chunk at a time: surrogate attention inside the chunk, by blocks, without a
// division.
//
//   q^_t = q_t prod(gates from the block's first token to t)
//   k^_t = k_t prod(gates from t + 1 to the block's end)
//   P_ts = Re sum_i q^_t[i] (prod of the blocks between)[i] k^_s[i]       across blocks
//   o_t  = sum_{s<=t} P_ts v_s + Re (q^_t prod of earlier blocks)^T S_in
//   S_out = (prod of all gates) S_in + sum_s (k^_s prod of later blocks) v_s^T
//
// Inside a block the same again with quads of four tokens for blocks, and inside a quad running
// products of the gates.

#include "../operands/prefetch.hpp"
#include "frame.hpp"
#include "run_of_steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline constexpr index_t quad_tokens = 4;

template <class C>
struct chunk_scratch {
  C* q_decayed = nullptr;  // conj(q^), decayed further block by block; conjugated so that products
                           // take the real part
  C* k_decayed = nullptr;  // k^
  C* totals = nullptr;     // [block][rows]: product of the block's gates
  C *product = nullptr, *product_low = nullptr;  // [rows]: of all gates of the chunk
  C* scores = nullptr;                           // [block][s][t]: P inside a block
  C* across = nullptr;                           // [s][t]: P between two blocks
  C* q_transposed = nullptr;                     // [rows][tokens], of a whole block
  C* q_quad = nullptr;      // [quad_tokens][rows]: conj(q) decayed from the quad's first token
  C* quad_total = nullptr;  // [rows]
  C *spare_state = nullptr, *spare_o = nullptr;  // for the token by token fallback

  chunk_scratch() = default;
  chunk_scratch(arena& scratch, const matrix_shape& n, index_t tokens) {
    const index_t blocks = (tokens + block_tokens - 1) / block_tokens;
    q_decayed = scratch.take<C>(tokens * n.rows);
    k_decayed = scratch.take<C>(tokens * n.rows);
    totals = scratch.take<C>(blocks * n.rows);
    product = scratch.take<C>(n.rows), product_low = scratch.take<C>(n.rows);
    scores = scratch.take<C>(blocks * block_tokens * block_tokens);
    across = scratch.take<C>(block_tokens * block_tokens);
    q_transposed = scratch.take<C>(n.rows * blocks * block_tokens);
    q_quad = scratch.take<C>(quad_tokens * n.rows);
    quad_total = scratch.take<C>(n.rows);
    spare_state = scratch.take<C>(n.state_size());
    spare_o = scratch.take<C>(tokens * n.value_pitch);
  }
  gate_product<C> gates() const { return {product, product_low}; }
  C* scores_of(index_t block) const { return scores + block * block_tokens * block_tokens; }
};

inline index_t blocks_of(index_t tokens) { return (tokens + block_tokens - 1) / block_tokens; }
inline index_t tokens_in_block(index_t tokens, index_t block) {
  const index_t rest = tokens - block * block_tokens;
  return rest < block_tokens ? rest : block_tokens;
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

// The keys of a few tokens, one register of them.
template <class E, std::size_t N>
struct keys_of_tokens {
  E q[N], k[N], a[N];
};

/// Keys of a run, read from tiles.
template <bool IsComplex, class C>
struct keys_in_tiles {
  static constexpr bool whole_quads = false;
  matrix_tiles<C> x;

  template <std::size_t N>
  GATESCAN_INLINE void read(index_t first, index_t i,
                            keys_of_tokens<element_t<C, IsComplex>, N>& to) const {
    const index_t at = first * x.n.rows;
#pragma GCC unroll 4
    for (index_t t = 0; t < index_t{N}; ++t) {
      const index_t row = at + t * x.n.rows;
      to.q[t] = load_keys<IsComplex>(x.q + row, i, x.n.key_pitch);
      to.k[t] = load_keys<IsComplex>(x.k + row, i, x.n.key_pitch);
      to.a[t] = load_keys<IsComplex>(x.a + row, i, x.n.key_pitch);
    }
  }
  void fill_tiles() const {}  // for those who read them
};

// N <= quad_tokens tokens from `first`: q^, the quad's own decayed queries and keys, its total (and
// what the block's becomes by it) and the scores inside the quad.
template <bool IsComplex, std::size_t N, class Keys, class C>
void quad_products(const Keys& keys, const matrix_shape& n, index_t first, bool begins_block,
                   C* total, C* scores, const chunk_scratch<C>& w) {
  using P = simd::pack<C>;
  using E = element_t<C, IsComplex>;
  constexpr index_t count = N;
  // copies: what is stored to might otherwise be these
  const Keys from = keys;
  const index_t pitch = n.key_pitch, rows = n.rows;
  C *const q_decayed = w.q_decayed + first * rows, *const k_decayed = w.k_decayed + first * rows;
  C *const q_quad = w.q_quad, *const quad_total = w.quad_total;
  P sums[N * (N + 1) / 2];
#pragma GCC unroll 16
  for (P& sum : sums) sum = P(0);
  for (index_t i = 0; i < pitch; i += simd::lanes<C>) {
    keys_of_tokens<E, N> x;
    from.read(first, i, x);
    E since_first;
    const E before =
        begins_block ? constant<IsComplex>(C(1)) : load_keys<IsComplex>(total, i, pitch);
#pragma GCC unroll 4
    for (index_t t = 0; t < count; ++t) {
      since_first = t == 0 ? x.a[t] : since_first * x.a[t];
      const E qt = conj(x.q[t] * since_first);
      store_keys<IsComplex>(q_quad + t * rows, i, pitch, qt);
      store_keys<IsComplex>(q_decayed + t * rows, i, pitch, qt * conj(before));
    }
    store_keys<IsComplex>(quad_total, i, pitch, since_first);
    store_keys<IsComplex>(total, i, pitch, since_first * before);
    index_t sum = 0;
#pragma GCC unroll 4
    for (index_t s = 0; s < count; ++s) {
      E ks = x.k[s];
#pragma GCC unroll 4
      for (index_t t = s; t < count; ++t, ++sum) {
        if (t > s) ks = ks * x.a[t];
        sums[sum] = add_real_product(ks, x.q[t], sums[sum]);
      }
      store_keys<IsComplex>(k_decayed + s * rows, i, pitch, ks);
    }
  }
  alignas(simd::register_bytes) C added[N * (N + 1) / 2];
  simd::sum_each(sums, added);
  const C* next = added;
  for (index_t s = 0; s < count; ++s)
    for (index_t t = 0; t < count; ++t) scores[s * block_tokens + t] = t < s ? C(0) : *next++;
}

/// q^ (conjugated), k^, total and scores[s][t], s <= t, of block r; 0 for s > t inside a quad.
template <bool IsComplex, class Keys, class C>
void block_products(const Keys& keys, const matrix_shape& n, index_t tokens, index_t r,
                    const chunk_scratch<C>& w) {
  const index_t first = r * block_tokens, count = tokens_in_block(tokens, r);
  C *total = w.totals + r * n.rows, *scores = w.scores_of(r), *k = w.k_decayed + first * n.rows;
  for (index_t t = 0; t < count; t += quad_tokens) {
    const index_t rest = (std::min)(quad_tokens, count - t);
    C* inside = scores + t * block_tokens + t;
    const auto products = [&]<std::size_t N>() {
      quad_products<IsComplex, N>(keys, n, first + t, t == 0, total, inside, w);
    };
    if constexpr (Keys::whole_quads)
      products.template operator()<4>();
    else if (rest == 4)
      products.template operator()<4>();
    else if (rest == 3)
      products.template operator()<3>();
    else if (rest == 2)
      products.template operator()<2>();
    else
      products.template operator()<1>();
    if (t == 0) continue;
    simd::dot_products<C>(rest, t, n.rows, {w.q_quad, n.rows}, {k, n.rows},
                          {scores + t, block_tokens});
    scale_keys<IsComplex>(k, t, n, w.quad_total, false);
  }
}

// k^ and the totals alone.
template <bool IsComplex, class C>
void decay_keys(const matrix_tiles<C>& from, index_t tokens, const chunk_scratch<C>& to) {
  const matrix_tiles<C> x = from;  // copies, as above
  const chunk_scratch<C> w = to;
  const matrix_shape n = x.n;
  for (index_t b = 0; b < blocks_of(tokens); ++b) {
    const index_t first = b * block_tokens, count = tokens_in_block(tokens, b);
    for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
      auto product = constant<IsComplex>(C(1));
      for (index_t t = first + count - 1; t >= first; --t) {
        const auto k = load_keys<IsComplex>(x.k + t * n.rows, i, n.key_pitch);
        store_keys<IsComplex>(w.k_decayed + t * n.rows, i, n.key_pitch, k * product);
        product = product * load_keys<IsComplex>(x.a + t * n.rows, i, n.key_pitch);
      }
      store_keys<IsComplex>(w.totals + b * n.rows, i, n.key_pitch, product);
    }
  }
}
// q^ and the totals alone.
template <bool IsComplex, class C>
void decay_queries(const matrix_tiles<C>& from, index_t tokens, const chunk_scratch<C>& to) {
  const matrix_tiles<C> x = from;  // copies, as above
  const chunk_scratch<C> w = to;
  const matrix_shape n = x.n;
  for (index_t b = 0; b < blocks_of(tokens); ++b) {
    const index_t first = b * block_tokens, count = tokens_in_block(tokens, b);
    for (index_t i = 0; i < n.key_pitch; i += simd::lanes<C>) {
      auto product = constant<IsComplex>(C(1));
      for (index_t t = first; t < first + count; ++t) {
        product = product * load_keys<IsComplex>(x.a + t * n.rows, i, n.key_pitch);
        const auto q = load_keys<IsComplex>(x.q + t * n.rows, i, n.key_pitch);
        store_keys<IsComplex>(w.q_decayed + t * n.rows, i, n.key_pitch, conj(q * product));
      }
      store_keys<IsComplex>(w.totals + b * n.rows, i, n.key_pitch, product);
    }
  }
}

// k^ decays on to the chunk's end; the chunk's product.
template <bool IsComplex, class C>
void decay_to_end(const matrix_tiles<C>& x, index_t tokens, const chunk_scratch<C>& w) {
  const matrix_shape& n = x.n;
  for (index_t b = blocks_of(tokens) - 2; b >= 0; --b) {
    C* later = w.totals + (b + 1) * n.rows;
    scale_keys<IsComplex>(w.k_decayed + b * block_tokens * n.rows, tokens_in_block(tokens, b), n,
                          later, false);
    scale_keys<IsComplex>(w.totals + b * n.rows, 1, n, later, false);
  }
  chunk_gates<IsComplex>(x, w.totals, w.product, w.product_low);
}

// A panel of S_out: k [token][rows] decayed to the chunk's end, or v [token][value_pitch].
// Gradients of states go through the conjugate of the gates. Returns zeros, or NaN where it is not
// finite.
template <bool IsComplex, bool Conjugate = false, class C, class Between>
simd::pack<C> carry_panel(index_t registers, index_t j, const matrix_shape& n, index_t tokens,
                          const C* k, const C* v, const C* state_in, C* state_out,
                          gate_product<C> gates, Between between) {
  simd::pack<C> watch(0);
  for_each_plane<IsComplex>(
      n, state_in, state_out, gates, Conjugate, [&](index_t first, index_t rows, auto next) {
        watch += simd::product_of_panel<C>(
            registers, rows, tokens, simd::by_columns<C>(k + first, n.rows), {v + j, n.value_pitch},
            {state_out + first * n.state_pitch + j, n.state_pitch}, next.from(0, j), between);
      });
  return watch;
}

template <class C>
index_t panels_of(const matrix_shape& n) {
  constexpr index_t width = simd::widest_panel * simd::lanes<C>;
  return (n.value_pitch + width - 1) / width;
}
template <class C>
bool state_finite(const C* state, const matrix_shape& n) {
  return all_finite(state, n.parts * n.rows, n.value_pitch, n.state_pitch);
}
// From what the products of its panels returned, which knows nothing of low parts.
template <class C>
bool state_finite(simd::pack<C> watch, const C* state, const matrix_shape& n) {
  return simd::sum(watch) == C(0) && (n.parts == 1 || state_finite(state, n));
}
template <class C>
void replace_non_finite_state(C* state, const C* exact, const matrix_shape& n) {
  for (index_t i = 0; i < n.parts * n.rows; ++i)
    replace_non_finite(state + i * n.state_pitch, exact + i * n.state_pitch, n.value_pitch);
}

// Rows of queries as a left operand. Where panels are wide a number that is broadcast serves four
// registers, and rows are as good as columns (AVX-512: chunked forward 2 to 4 % faster than by way
// of a transpose); else they are transposed first.
template <class C>
auto left_of_products(const C* queries, index_t tokens, const matrix_shape& n, C* transposed) {
  if constexpr (simd::widest_panel >= 4) {
    return simd::by_rows<C>(queries, n.rows);
  } else {
    const index_t pitch = blocks_of(tokens) * block_tokens;
    simd::transpose<C>(tokens, n.rows, {queries, n.rows}, {transposed, pitch});
    return simd::by_columns<C>(static_cast<const C*>(transposed), pitch);
  }
}

// The token by token form, into w.spare_o and w.spare_state; `begin` makes that state ready.
template <bool IsComplex, class C, class Begin>
void take_spare_steps(const matrix_tiles<C>& x, index_t tokens, const C* state_in,
                      const chunk_scratch<C>& w, Begin&& begin) {
  const matrix_shape& n = x.n;
  matrix_tiles<C> exact = x;
  exact.o = w.spare_o;
  copy_numbers(w.spare_state, state_in, n.part_size());
  fill(w.spare_state + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
  begin(w.spare_state);
  steps_forward<IsComplex>(exact, tokens, w.spare_state, w.spare_state);
}
template <bool IsComplex, class C, class Begin>
void take_steps_where_not_finite(const matrix_tiles<C>& x, index_t tokens, const C* state_in,
                                 C* state_out, const chunk_scratch<C>& w, Begin&& begin) {
  take_spare_steps<IsComplex>(x, tokens, state_in, w, begin);
  replace_non_finite(x.o, w.spare_o, tokens * x.n.value_pitch);
  replace_non_finite_state(state_out, w.spare_state, x.n);
}
// S_out alone, where queries may not have been read.
template <bool IsComplex, class C>
void take_state_where_not_finite(const matrix_tiles<C>& x, index_t tokens, const C* state_in,
                                 C* state_out, const chunk_scratch<C>& w) {
  fill(x.q, tokens * x.n.rows, C(0));
  take_spare_steps<IsComplex>(x, tokens, state_in, w, [](C*) {});
  replace_non_finite_state(state_out, w.spare_state, x.n);
}

/// o of every token and S_out from S_in. Results that are not finite are taken from the token by
/// token form: there a reset is exact, and nothing overflows that the definition does not overflow.
/// With Turning, states have one part and stand in the frame. `memory` is what comes next.
template <bool IsComplex, bool Turning, class Keys, class C>
void chunk_forward(const matrix_tiles<C>& x, const Keys& keys, index_t tokens, const C* state_in,
                   C* state_out, const chunk_scratch<C>& w, prefetcher& memory,
                   const turning_frame<C>& frame) {
  const matrix_shape& n = x.n;
  const index_t blocks = blocks_of(tokens);
  const prefetching ahead{&memory};
  memory.begin(blocks + panels_of<C>(n) * (simd::row_blocks(tokens) + simd::row_blocks(n.rows)));
  for (index_t r = 0; r < blocks; ++r) {
    const index_t first = r * block_tokens, count = tokens_in_block(tokens, r);
    C *o = x.o + first * n.value_pitch, *q = w.q_decayed + first * n.rows;
    block_products<IsComplex>(keys, n, tokens, r, w);
    const auto scores = [&](const C* from) { return simd::by_columns<C>(from, block_tokens); };
    simd::set_lower_product<C>(count, n.value_pitch, scores(w.scores_of(r)),
                               {x.v + first * n.value_pitch, n.value_pitch}, {o, n.value_pitch});
    for (index_t b = r - 1; b >= 0; --b) {
      simd::dot_products<C>(count, block_tokens, n.rows, {q, n.rows},
                            {w.k_decayed + b * block_tokens * n.rows, n.rows},
                            {w.across, block_tokens});
      simd::add_product<C>(count, n.value_pitch, block_tokens, scores(w.across),
                           {x.v + b * block_tokens * n.value_pitch, n.value_pitch},
                           {o, n.value_pitch});
      scale_keys<IsComplex>(q, count, n, w.totals + b * n.rows, true);
    }
    ahead();
  }
  decay_to_end<IsComplex>(x, tokens, w);
  if constexpr (Turning) {
    frame.turn(n, w.gates(), state_in, state_out);
    scale_keys<true>(w.q_decayed, tokens, n, frame.before, true);
    scale_keys<true>(w.k_decayed, tokens, n, frame.after, true);
  }
  const auto queries =
      left_of_products(static_cast<const C*>(w.q_decayed), tokens, n, w.q_transposed);
  matrix_shape carried = n;
  if (Turning) carried.parts = 1;  // a state in the frame has no low part
  // panel by panel, so that a panel of the state is read from near by the second time
  simd::pack<C> watch(0);
  simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
    watch += simd::product_of_panel<C>(
        registers, tokens, n.rows, queries, {state_in + j, n.state_pitch}, {x.o + j, n.value_pitch},
        [o = x.o + j, pitch = n.value_pitch](index_t t, index_t c, simd::pack<C> sum) {
          return simd::load(o + t * pitch + c) + sum;
        },
        ahead);
    watch += carry_panel<IsComplex>(registers, j, carried, tokens, w.k_decayed, x.v, state_in,
                                    state_out, Turning ? frame.gates() : w.gates(), ahead);
  });

  if constexpr (Turning) fill(state_out + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
  if (state_finite(watch, state_out, n)) return;
  keys.fill_tiles();
  take_steps_where_not_finite<IsComplex>(x, tokens, state_in, state_out, w, [&](C* state) {
    if constexpr (Turning) {
      frame.multiply(n, frame.before, state);
      frame.leave(n, state_out);
    }
  });
}

/// S_out only. The same fallback.
template <bool IsComplex, class C>
void chunk_advance(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* state_out,
                   const chunk_scratch<C>& w, prefetcher& memory) {
  const matrix_shape& n = x.n;
  memory.begin(panels_of<C>(n) * simd::row_blocks(n.rows));
  decay_keys<IsComplex>(x, tokens, w);
  decay_to_end<IsComplex>(x, tokens, w);
  simd::pack<C> watch(0);
  simd::for_each_panel<C>(n.value_pitch, [&](index_t j, index_t registers) {
    watch += carry_panel<IsComplex>(registers, j, n, tokens, w.k_decayed, x.v, state_in, state_out,
                                    w.gates(), prefetching{&memory});
  });
  if (state_finite(watch, state_out, n)) return;
  take_state_where_not_finite<IsComplex>(x, tokens, state_in, state_out, w);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
