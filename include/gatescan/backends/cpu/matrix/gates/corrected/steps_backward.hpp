#pragma once
// The corrected transition, backward token by token. With G the gradient of S_t, from the last
// token to the first:
//
//   G = G + q_t do_t^T                      dq_t = S_t do_t
//   du_t = G^T k_t = dv_t                   dk_t = G u_t
//   d_t = -du_t, of what p read             dp_t = S' d_t
//   G' = G + p_t d_t^T                      da_t[i] = sum_j G'[i, j] S_{t-1}[i, j]
//   G = a_t (.) G', 0 where a_t is 0
//
// and with transition::low_rank, where u = -S_{t-1}^T p_t is written under b and v under k,
//
//   du_t = G^T b_t, dv_t = G^T k_t          db_t = G u_t, dk_t = G v_t
//   d_t = -du_t                             dp_t = S_{t-1} d_t
//   da_t[i] = sum_j G[i, j] S_{t-1}[i, j]   G = a_t (.) G + p_t d_t^T
//
// What is independent is all keys of a panel of columns. Its states are kept before every token of
// a block, those of earlier blocks at their starts.

#include "steps.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct corrected_steps_adjoint_scratch {
  static constexpr index_t width = registers_a_block * simd::lanes<C>;
  C* starts = nullptr;  // [block][key][width]: a panel of the state before the block
  C* states = nullptr;  // [token + 1][key][width]: before every token of a block and after the last
  C* u = nullptr;       // [token][width]
  C* g = nullptr;       // [key][width]

  corrected_steps_adjoint_scratch() = default;
  corrected_steps_adjoint_scratch(arena& scratch, const matrix_shape& n, index_t tokens) {
    const index_t size = n.keys * width, blocks = ceil_divide(tokens, subchunk_tokens);
    starts = scratch.take<C>(blocks * size), states = scratch.take<C>((subchunk_tokens + 1) * size);
    u = scratch.take<C>(subchunk_tokens * width), g = scratch.take<C>(size);
  }
};

// to[m] += the sum over a row of what f(m) returns, for `count` keys, a register of them at most.
template <class C, class F>
GATESCAN_INLINE void add_row_sums(index_t count, C* to, F&& f) {
  using P = simd::pack<C>;
  P sums[static_cast<std::size_t>(simd::lanes<C>)];
#pragma GCC unroll 16
  for (index_t m = 0; m < simd::lanes<C>; ++m) sums[m] = m < count ? f(m) : P(0);
  alignas(simd::register_bytes) C added[static_cast<std::size_t>(simd::lanes<C>)];
  simd::sum_each(sums, added);
  simd::store(to, simd::load(to) + simd::load(added));
}
// sum over the registers of a row
template <std::size_t Vecs, class C, class F>
GATESCAN_INLINE simd::pack<C> sum_over_registers(F&& f) {
  simd::pack<C> sum = f(index_t{0});
#pragma GCC unroll 4
  for (index_t c = 1; c < index_t{Vecs}; ++c) sum = sum + f(c);
  return sum;
}

// One token: g from the gradient of S_t without its own o to that of S_{t-1}. Adds to dq, dk, dp,
// db and da.
template <transition Moves, std::size_t Vecs, class C>
GATESCAN_INLINE void corrected_step_adjoint(const matrix_tiles<C>& x, index_t t, index_t j,
                                            const C* before, const C* after, const C* u_row, C* g,
                                            const matrix_gradients<C>& d) {
  using P = simd::pack<C>;
  constexpr index_t width = simd::lanes<C>, pitch = index_t{Vecs} * width;
  constexpr bool low_rank = Moves == transition::low_rank;
  const index_t row = t * x.n.rows, keys = x.n.keys, values = t * x.n.value_pitch + j;
  const C *q = x.q + row, *k = x.k + row, *p = x.p + row, *a = x.a + row;
  C *dq = d.dq + row, *dk = d.dk + row, *dp = d.dp + row, *da = d.da + row;
  const C* const b = low_rank ? x.b + row : k;
  C* const db = low_rank ? d.db + row : dk;
  P d_o[Vecs], u[Vecs], v[Vecs], du[Vecs], dv[Vecs], read[Vecs];
#pragma GCC unroll 4
  for (index_t c = 0; c < index_t{Vecs}; ++c) {
    d_o[c] = simd::load(d.d_o + values + c * width);
    u[c] = simd::load(u_row + c * width);
    v[c] = simd::load(x.v + values + c * width);
    du[c] = dv[c] = P(0);
  }
  const auto at = [](index_t i, index_t c) { return i * pitch + c * width; };
  const auto over_keys = [&](auto&& f) __attribute__((always_inline)) {
    for (index_t i = 0; i < keys; i += width) f(i, (std::min)(width, keys - i));
  };
  over_keys([&](index_t first, index_t count) __attribute__((always_inline)) {
    add_row_sums(
        count, dq + first, [&](index_t m) __attribute__((always_inline)) {
          const index_t i = first + m;
          const P query(q[i]), key(k[i]), under(b[i]);
          return sum_over_registers<Vecs, C>([&](index_t c) __attribute__((always_inline)) {
            const P here = simd::fma(query, d_o[c], simd::load(g + at(i, c)));
            simd::store(g + at(i, c), here);
            du[c] = simd::fma(under, here, du[c]);
            if (low_rank) dv[c] = simd::fma(key, here, dv[c]);
            return simd::load(after + at(i, c)) * d_o[c];
          });
        });
  });
#pragma GCC unroll 4
  for (index_t c = 0; c < index_t{Vecs}; ++c) {
    simd::store(d.dv + values + c * width, low_rank ? dv[c] : du[c]);
    read[c] = -du[c];
  }
  over_keys([&](index_t first, index_t count) __attribute__((always_inline)) {
    const auto sums = [&](C * to, auto&& f) __attribute__((always_inline)) {
      add_row_sums(
          count, to + first, [&](index_t m) __attribute__((always_inline)) {
            return sum_over_registers<Vecs, C>([&](index_t c) __attribute__((always_inline)) {
              return f(first + m, c);
            });
          });
    };
    if (low_rank)
      sums(
          dk, [&](index_t i, index_t c)
                  __attribute__((always_inline)) { return simd::load(g + at(i, c)) * v[c]; });
    sums(
        db, [&](index_t i, index_t c)
                __attribute__((always_inline)) { return simd::load(g + at(i, c)) * u[c]; });
    sums(
        dp, [&](index_t i, index_t c) __attribute__((always_inline)) {
          const P s = simd::load(before + at(i, c));
          return (low_rank ? s : decayed<true>(a[i], s)) * read[c];
        });
    sums(
        da, [&](index_t i, index_t c) __attribute__((always_inline)) {
          const P after_gate = simd::load(g + at(i, c)), key(p[i]);
          const P here = low_rank ? after_gate : simd::fma(key, read[c], after_gate);
          const P next = decayed<true>(a[i], here);
          simd::store(g + at(i, c), low_rank ? simd::fma(key, read[c], next) : next);
          return here * simd::load(before + at(i, c));
        });
  });
}

// A panel of a state: rows from one pitch to another.
template <std::size_t Vecs, class C>
void copy_panel(index_t keys, const C* from, index_t from_pitch, C* to, index_t to_pitch) {
  for (index_t i = 0; i < keys; ++i)
    for (index_t c = 0; c < index_t{Vecs}; ++c) {
      const index_t at = c * simd::lanes<C>;
      simd::store(to + i * to_pitch + at, simd::load(from + i * from_pitch + at));
    }
}

template <transition Moves, std::size_t Vecs, class C>
__attribute__((noinline)) void corrected_adjoint_of_panel(
    const matrix_tiles<C>& tiles, index_t tokens, index_t j, const C* state_in, C* g,
    const matrix_gradients<C>& gradients, const corrected_steps_adjoint_scratch<C>& w) {
  constexpr index_t pitch = index_t{Vecs} * simd::lanes<C>;
  const auto x = held(tiles);
  const auto d = held(gradients);
  const index_t keys = x.n.keys, size = keys * pitch;
  const auto step = [&](index_t t, const C* from, C* to, C* kept_u) {
    value_panel<Vecs, C> values;
    correct<Moves, true>(x, t, j, from, pitch, values);
    write_corrected<Moves, true, false>(x, t, j, from, to, pitch, values);
#pragma GCC unroll 4
    for (index_t c = 0; c < index_t{Vecs}; ++c)
      simd::store(kept_u + c * simd::lanes<C>, values.u[c]);
  };
  const index_t blocks = ceil_divide(tokens, subchunk_tokens);
  copy_panel<Vecs>(keys, state_in + j, x.n.state_pitch, w.starts, pitch);
  for (index_t b = 1; b < blocks; ++b) {
    C* state = w.starts + b * size;
    copy_numbers(state, static_cast<const C*>(state - size), size);
    for (index_t t = (b - 1) * subchunk_tokens; t < b * subchunk_tokens; ++t)
      step(t, state, state, w.u);
  }
  copy_panel<Vecs>(keys, static_cast<const C*>(g + j), x.n.state_pitch, w.g, pitch);
  for (index_t b = blocks - 1; b >= 0; --b) {
    const index_t first = b * subchunk_tokens;
    const index_t count = std::min<index_t>(subchunk_tokens, tokens - first);
    copy_numbers(w.states, static_cast<const C*>(w.starts + b * size), size);
    for (index_t t = 0; t < count; ++t)
      step(first + t, w.states + t * size, w.states + (t + 1) * size, w.u + t * pitch);
    for (index_t t = count - 1; t >= 0; --t)
      corrected_step_adjoint<Moves, Vecs, C>(x, first + t, j, w.states + t * size,
                                             w.states + (t + 1) * size, w.u + t * pitch, w.g, d);
  }
  copy_panel<Vecs>(keys, static_cast<const C*>(w.g), pitch, g + j, x.n.state_pitch);
}

template <class C, transition Moves>
class corrected_token_steps_adjoint {
 public:
  corrected_token_steps_adjoint() = default;
  corrected_token_steps_adjoint(arena& scratch, const matrix_shape& n, index_t tokens)
      : scratch_(scratch, n, tokens) {}

  /// g: the gradient of the state after the tokens, in place to that of the state before them.
  C* backward(const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) const {
    for (C* const to : {d.dq, d.dk, d.dp, d.da}) fill(to, c.tokens * c.x.n.rows, C(0));
    if (Moves == transition::low_rank) fill(d.db, c.tokens * c.x.n.rows, C(0));
    for_each_panel_of_state<C>(c.x.n, [&]<std::size_t Vecs>(index_t j) {
      corrected_adjoint_of_panel<Moves, Vecs>(c.x, c.tokens, j, c.state_in, g, d, scratch_);
    });
    return g;
  }

 private:
  corrected_steps_adjoint_scratch<C> scratch_{};
};
static_assert(chunk_adjoint<corrected_token_steps_adjoint<float, transition::corrected>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
