#pragma once
// Matrix states, backward token by token: the definition. With G the gradient of the state after
// token t, that through o_t included,
//
//   G[K, V] = conj(a_{t+1}[K]) G + conj(q_t[K]) do_t[V]^T
//   dq_t = conj(S_t) do_t   dk_t = G v_t   da_t[i] = sum_j G[i, j] conj(S_{t-1}[i, j])
//   dv_t = Re(G^T conj(k_t))
//
// With readout::exclusive G is the gradient without that through o_t, which comes after it,
//
//   dq_t = conj(S_{t-1} + own_t v_t^T) do_t        down_t = conj(q_t) (do_t . v_t)
//   dv_t = Re(G^T conj(k_t)) + Re(q_t . own_t) do_t
//
// A block of the state stays in registers: through the chunk forward once more, which leaves it
// before and after every token, and back.

#include "forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct steps_adjoint_scratch {
  C* states = nullptr;  // a block of the state, before every token and after the last
  C* sums = nullptr;    // [token][q, k, a, own][key]: registers, whose lanes are still to be added
  C* added = nullptr;   // those sums

  steps_adjoint_scratch() = default;
  steps_adjoint_scratch(arena& scratch, index_t tokens, bool complex) {
    const index_t keys = complex ? 2 * keys_a_block<true> : keys_a_block<false>;
    states = scratch.take<C>((tokens + 1) * keys * registers_a_block * simd::lanes<C>);
    const index_t registers = padded<C>(tokens * 4 * keys);
    sums = scratch.take<C>(registers * simd::lanes<C>);
    added = scratch.take<C>(registers);
  }
};

// Keys [i, i + Keys) and columns [j, j + Vecs registers): adds to w.sums and dv, and turns g from
// the gradient after the tokens to the one before them.
template <bool IsComplex, readout Reads, std::size_t Keys, std::size_t Vecs, class C>
__attribute__((noinline)) void adjoint_of_block(const matrix_tiles<C>& x, index_t tokens, index_t i,
                                                index_t j, const C* state_in, C* g,
                                                const matrix_gradients<C>& d,
                                                const steps_adjoint_scratch<C>& w) {
  using P = simd::pack<C>;
  using E = element_t<C, IsComplex>;
  constexpr index_t width = simd::lanes<C>, planes = IsComplex ? 2 : 1;
  constexpr index_t block_size = index_t{Keys * Vecs} * planes * width;
  constexpr index_t row = index_t{Keys} * planes * width;  // of sums
  constexpr bool exclusive = Reads == readout::exclusive;
  constexpr index_t token_rows = (exclusive ? 4 : 3) * row;
  // copies: what is stored to might otherwise be these
  const index_t rows = x.n.rows, value_pitch = x.n.value_pitch, pitch = x.n.state_pitch;
  const index_t im = x.n.key_pitch, at = i * pitch + j;
  const C *q = x.q + i, *k = x.k + i, *a = x.a + i, *v = x.v + j, *d_o = d.d_o + j;
  const C* own = exclusive ? x.own + i : nullptr;
  C *dv = d.dv + j, *state = w.states, *sums = w.sums;
  const auto key = [im](const C* row_of_keys, std::size_t m) {
    return key_in_all_lanes<IsComplex>(row_of_keys, index_t(m), im);
  };
  const auto place = [](std::size_t m, std::size_t c) {
    return static_cast<index_t>(m * Vecs + c) * planes * width;
  };

  E s[Keys][Vecs];
#pragma GCC unroll 8
  for (std::size_t m = 0; m < Keys; ++m)
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c) {
      s[m][c] =
          load_keys<IsComplex>(state_in + at + index_t(m) * pitch, index_t(c) * width, im * pitch);
      store_keys<IsComplex>(state, place(m, c), width, s[m][c]);
    }
  for (index_t t = 0; t < tokens; ++t, k += rows, a += rows, v += value_pitch) {
    state += block_size;
#pragma GCC unroll 8
    for (std::size_t m = 0; m < Keys; ++m) {
      const E gate = key(a, m), key_m = key(k, m);
      const bool reset = resets<IsComplex>(a, index_t(m), im);
#pragma GCC unroll 4
      for (std::size_t c = 0; c < Vecs; ++c) {
        const E added = added_by(key_m, simd::load(v + index_t(c) * width));
        s[m][c] = reset ? added : fma(gate, s[m][c], added);
        store_keys<IsComplex>(state, place(m, c), width, s[m][c]);
      }
    }
  }

#pragma GCC unroll 8
  for (std::size_t m = 0; m < Keys; ++m)
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c)
      s[m][c] = load_keys<IsComplex>(g + at + index_t(m) * pitch, index_t(c) * width, im * pitch);
  q += tokens * rows, d_o += tokens * value_pitch, dv += tokens * value_pitch;
  if (exclusive) own += tokens * rows;
  sums += tokens * token_rows;
  for (index_t t = 0; t < tokens; ++t) {
    q -= rows, k -= rows, a -= rows;
    v -= value_pitch, d_o -= value_pitch, dv -= value_pitch;
    if (exclusive) own -= rows;
    sums -= token_rows, state -= block_size;
    P to[Vecs];
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c) to[c] = simd::load(dv + index_t(c) * width);
#pragma GCC unroll 8
    for (std::size_t m = 0; m < Keys; ++m) {
      const E gate = conj(key(a, m)), key_m = conj(key(k, m)), query = conj(key(q, m));
      const bool reset = resets<IsComplex>(a, index_t(m), im);
      const index_t sum = static_cast<index_t>(m) * planes * width;
      E sum_q = load_keys<IsComplex>(sums, sum, width);
      E sum_k = load_keys<IsComplex>(sums + row, sum, width);
      E sum_a = load_keys<IsComplex>(sums + 2 * row, sum, width);
      E own_key = key_m, sum_own = sum_a;
      if constexpr (exclusive) {
        own_key = key(own, m);
        sum_own = load_keys<IsComplex>(sums + 3 * row, sum, width);
      }
#pragma GCC unroll 4
      for (std::size_t c = 0; c < Vecs; ++c) {
        const P d_c = simd::load(d_o + index_t(c) * width);
        const P v_c = simd::load(v + index_t(c) * width);
        const E before = load_keys<IsComplex>(state, place(m, c), width);
        const E after = load_keys<IsComplex>(state + block_size, place(m, c), width);
        const E with_o = fma(query, d_c, s[m][c]), here = exclusive ? s[m][c] : with_o;
        const E read = exclusive ? before + added_by(own_key, v_c) : after;
        sum_q = fma(conj(read), d_c, sum_q);
        sum_k = fma(here, v_c, sum_k);
        sum_a = fma(here, conj(before), sum_a);
        to[c] = add_real_product(key_m, here, to[c]);
        s[m][c] = reset ? constant<IsComplex>(C(0)) : gate * here;
        if constexpr (exclusive) {
          sum_own = fma(query, d_c * v_c, sum_own);
          to[c] = add_real_product(conj(query), added_by(own_key, d_c), to[c]);
          s[m][c] = fma(query, d_c, s[m][c]);
        }
      }
      store_keys<IsComplex>(sums, sum, width, sum_q);
      store_keys<IsComplex>(sums + row, sum, width, sum_k);
      store_keys<IsComplex>(sums + 2 * row, sum, width, sum_a);
      if constexpr (exclusive) store_keys<IsComplex>(sums + 3 * row, sum, width, sum_own);
    }
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c) simd::store(dv + index_t(c) * width, to[c]);
  }
#pragma GCC unroll 8
  for (std::size_t m = 0; m < Keys; ++m)
#pragma GCC unroll 4
    for (std::size_t c = 0; c < Vecs; ++c)
      store_keys<IsComplex>(g + at + index_t(m) * pitch, index_t(c) * width, im * pitch, s[m][c]);
}

/// On entry `g` is the gradient of the state after the tokens, on return of `state_in`.
template <bool IsComplex, readout Reads, class C>
void steps_backward(const matrix_tiles<C>& x, index_t tokens, const C* state_in, C* g,
                    const matrix_gradients<C>& d, const steps_adjoint_scratch<C>& w) {
  constexpr index_t width = simd::lanes<C>, planes = IsComplex ? 2 : 1;
  const matrix_shape& n = x.n;
  fill(d.dv, tokens * n.value_pitch, C(0));
  constexpr std::size_t gradients = Reads == readout::exclusive ? 4 : 3;
  C* const results[] = {d.dq, d.dk, d.da, d.d_own};
  for_each_block_of_keys<IsComplex>(n, [&]<std::size_t Keys>(index_t i) {
    constexpr index_t keys = Keys;
    const index_t registers = tokens * index_t{gradients} * keys * planes;
    fill(w.sums, padded<C>(registers) * width, C(0));
    for_each_panel_of_state<C>(n, [&]<std::size_t Vecs>(index_t j) {
      adjoint_of_block<IsComplex, Reads, Keys, Vecs>(x, tokens, i, j, state_in, g, d, w);
    });
    for (index_t r = 0; r < registers; r += width) {
      simd::pack<C> sums[static_cast<std::size_t>(width)];
#pragma GCC unroll 16
      for (index_t lane = 0; lane < width; ++lane)
        sums[lane] = simd::load(w.sums + (r + lane) * width);
      simd::sum_each(sums, w.added + r);
    }
    const C* next = w.added;
    for (index_t t = 0; t < tokens; ++t)
      for (std::size_t r = 0; r < gradients; ++r)
        for (index_t m = 0; m < keys; ++m)
          for (index_t plane = 0; plane < planes; ++plane)
            results[r][t * n.rows + plane * n.key_pitch + i + m] = *next++;
  });
}

template <class C, bool IsComplex, readout Reads = readout::inclusive>
class token_steps_adjoint {
 public:
  token_steps_adjoint() = default;
  token_steps_adjoint(arena& scratch, const matrix_shape&, index_t tokens)
      : scratch_(scratch, tokens, IsComplex) {}

  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) const {
    steps_backward<IsComplex, Reads>(c.x, c.tokens, c.state_in, g, d, scratch_);
    return g;
  }

 private:
  steps_adjoint_scratch<C> scratch_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
