#pragma once
// Matrix states, a chunk of tokens one after another:
//
//   S_t[K, V] = a_t[K] S_{t-1} + k_t[K] v_t[V]^T
//   o_t[V] = Re(S_t^T q_t[K]), or with readout::exclusive Re((S_{t-1} + own_t[K] v_t^T)^T q_t)
//
// A block of the state, a few keys by a few registers of values, stays in registers from the
// chunk's first token to its last, so that the state is read and written once a chunk. The same
// operations in the same order as in step_token: the same bits, however tokens are cut into chunks.
// Recurrent mode runs on this; the other modes fall back on it (fallback.hpp).

#include "../chunk_kernel.hpp"
#include "step.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <bool IsComplex>
inline constexpr std::size_t keys_a_block = (simd::register_count >= 32 ? 8 : 4) /
                                            (IsComplex ? 2 : 1);
inline constexpr index_t registers_a_block = 2;

// Keys [i, i + Keys) and columns [j, j + Vecs registers). Adds to o.
template <bool IsComplex, readout Reads, bool Resets, std::size_t Keys, std::size_t Vecs, class C>
__attribute__((noinline)) void steps_of_block(const matrix_tiles<C>& x, index_t tokens, index_t i,
                                              index_t j, const C* state_in, C* state_out) {
  using P = simd::pack<C>;
  using E = element_t<C, IsComplex>;
  constexpr index_t width = simd::lanes<C>;
  // copies: what is stored to might otherwise be these
  const index_t rows = x.n.rows, value_pitch = x.n.value_pitch, pitch = x.n.state_pitch;
  const index_t im = x.n.key_pitch, at = i * pitch + j;
  const C *q = x.q + i, *k = x.k + i, *a = x.a + i, *v = x.v + j;
  constexpr bool exclusive = Reads == readout::exclusive;
  const C* own = exclusive ? x.own + i : nullptr;
  C* o = x.o + j;

  E s[Keys][Vecs];
#pragma GCC unroll 8
  for (std::size_t m = 0; m < Keys; ++m) {
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c)
      s[m][c] =
          load_keys<IsComplex>(state_in + at + index_t(m) * pitch, index_t(c) * width, im * pitch);
  }
  // two at a time: K = V = 128, 8 heads, L 2048 23.7 ms, one at a time 24.6 (one core, AVX2)
#pragma GCC unroll 2
  for (index_t t = 0; t < tokens; ++t) {
    P values[Vecs], sums[Vecs];
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c) {
      values[c] = simd::load(v + index_t(c) * width);
      sums[c] = simd::load(o + index_t(c) * width);
    }
#pragma GCC unroll 8
    for (std::size_t m = 0; m < Keys; ++m) {
      const E gate = key_in_all_lanes<IsComplex>(a, index_t(m), im),
              key = key_in_all_lanes<IsComplex>(k, index_t(m), im),
              query = key_in_all_lanes<IsComplex>(q, index_t(m), im);
      const E own_key = exclusive ? key_in_all_lanes<IsComplex>(own, index_t(m), im) : key;
      const bool reset = Resets && resets<IsComplex>(a, index_t(m), im);
#pragma GCC unroll 4
      for (std::size_t c = 0; c < Vecs; ++c) {
        const E added = added_by(key, values[c]);
        if (exclusive)
          sums[c] = add_real_product(query, s[m][c] + added_by(own_key, values[c]), sums[c]);
        s[m][c] = reset ? added : fma(gate, s[m][c], added);
        if (!exclusive) sums[c] = add_real_product(query, s[m][c], sums[c]);
      }
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c) simd::store(o + index_t(c) * width, sums[c]);
    q += rows, k += rows, a += rows, v += value_pitch, o += value_pitch;
    if (exclusive) own += rows;
  }
#pragma GCC unroll 8
  for (std::size_t m = 0; m < Keys; ++m)
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c)
      store_keys<IsComplex>(state_out + at + index_t(m) * pitch, index_t(c) * width, im * pitch,
                            s[m][c]);
}

template <bool IsComplex, class C>
bool has_reset(const matrix_tiles<C>& x, index_t tokens) {
  typename simd::pack<C>::native_integer found{};
  for (index_t t = 0; t < tokens; ++t)
    for (index_t i = 0; i < x.n.key_pitch; i += simd::lanes<C>) {  // where there is no key it is 1
      const auto gate = load_keys<IsComplex>(x.a + t * x.n.rows, i, x.n.key_pitch);
      if constexpr (IsComplex)
        found |= simd::zeros(gate.re) & simd::zeros(gate.im);
      else
        found |= simd::zeros(gate);
    }
  return simd::any(found);
}

template <bool IsComplex, class C>
index_t blocks_of_state(const matrix_shape& n) {
  constexpr index_t keys = keys_a_block<IsComplex>, width = registers_a_block * simd::lanes<C>;
  return ((n.value_pitch + width - 1) / width) * (n.keys / keys + n.keys % keys);
}

// f.operator()<Vecs>(j) for panels of values, f.operator()<Keys>(i) for blocks of keys
template <class C, class F>
void for_each_panel_of_state(const matrix_shape& n, F&& f) {
  constexpr index_t width = simd::lanes<C>, wide = registers_a_block * width;
  index_t j = 0;
  for (; j + wide <= n.value_pitch; j += wide) f.template operator()<registers_a_block>(j);
  for (; j < n.value_pitch; j += width) f.template operator()<1>(j);
}
template <bool IsComplex, class F>
void for_each_block_of_keys(const matrix_shape& n, F&& f) {
  constexpr index_t keys = keys_a_block<IsComplex>;
  index_t i = 0;
  for (; i + keys <= n.keys; i += keys) f.template operator()<keys_a_block<IsComplex>>(i);
  for (; i < n.keys; ++i) f.template operator()<1>(i);
}

/// o of every token and S_out from S_in, which may be the same. between() is called after every
/// block.
template <bool IsComplex, readout Reads, class C, class Between = simd::nothing_between>
void steps_forward(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* state_out,
                   Between between = {}) {
  const matrix_shape& n = x.n;
  fill(x.o, tokens * n.value_pitch, C(0));
  const auto all = [&]<bool Resets>() {
    for_each_panel_of_state<C>(n, [&]<std::size_t Vecs>(index_t j) {
      for_each_block_of_keys<IsComplex>(n, [&]<std::size_t Keys>(index_t i) {
        steps_of_block<IsComplex, Reads, Resets, Keys, Vecs>(x, tokens, i, j, state_in, state_out);
        between();
      });
    });
  };
  if (has_reset<IsComplex>(x, tokens))
    all.template operator()<true>();
  else
    all.template operator()<false>();
}

/// The kernel of recurrent mode.
template <class C, bool IsComplex, readout Reads = readout::inclusive>
struct token_steps {
  void forward(const token_chunk<C>& c, C* state_out) const {
    c.memory->begin(blocks_of_state<IsComplex, C>(c.x.n));
    steps_forward<IsComplex, Reads>(c.x, c.tokens, c.state_in, state_out, prefetching{c.memory});
  }
  void advance(const token_chunk<C>& c, C* state_out) const { forward(c, state_out); }
  /// The first token of x, on a state in place.
  void step(const matrix_tiles<C>& x, const state_rows<C>& state) const {
    step_token<IsComplex, Reads>(x, 0, state);
  }
};
static_assert(chunk_kernel<token_steps<float, false>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
