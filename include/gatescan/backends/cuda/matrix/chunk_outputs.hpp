#pragma once
// Last pass over chunks: outputs, or backward the gradient of the values. With P_ts = Re sum_i
// q_t[i] k_s[i] prod_{j=s+1..t} a_j[i] for s <= t
//
//   o_t  = sum_s P_ts v_s   + Re(q_t prod_{j<=t} a_j . state at the chunk's start)
//   dv_s = sum_t P_ts do_t  + Re(k_s prod_{j>s} a_j . conj(gradient of the state at its end))
//
// A block has a tile of 64 tokens ("own": queries, backward keys) and of values. Pairs inside 16
// tokens meet by running products. Then the tile walks away in steps of 16 tokens ("other": keys,
// backward queries), its own side multiplied by the gates between: no division, no exponential but
// the recurrence's own. A tile with something not finite is computed again token by token.

#include "chunk_walk.hpp"
#include "gradient_stores.hpp"
#include "summaries.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool Adjoint>
struct matrix_outputs {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  using S = typename kit::S;
  using E = typename kit::E;
  using sums_t = product_sums<kit, kit::tokens, kit::values>;
  static constexpr int pitch = kit::tokens + 1;  // of [row][token]
  // tokens, then a tile of states
  static constexpr int other_size =
      kit::rows * (pitch > kit::value_pitch ? pitch : kit::value_pitch);

  problem_of<R, T> p;
  time_chunks chunks;
  chunk_states<R, T> states;          // none: the caller's initial state
  output_gradient<R, T> d_o{};        // backward
  operand<S> out{};                   // forward
  C* o = nullptr;                     // forward: o before the epilogue, in place of the output
  gradient_stores<R, T> gradients{};  // backward

  GATESCAN_HD index_t tiles_a_chunk() const { return ceil_divide(chunks.length, kit::tokens); }
  index_t value_tiles() const { return ceil_divide(p.n.values, kit::values); }
  // Where chunks are long, of packed sequences few fill one: their tiles are found as short chunks
  // are.
  GATESCAN_HD bool finds_tiles() const {
    return !Adjoint && (chunks.length >= p.n.time || chunks.length % kit::tokens == 0);
  }
  GATESCAN_HD time_chunks tiles() const { return time_chunks(p.n, kit::tokens); }
  index_t blocks() const {
    const index_t all = finds_tiles() ? tiles().slot_count : chunks.slot_count * tiles_a_chunk();
    return all * p.n.heads * value_tiles();
  }
  int threads() const { return kit::threads; }
  int shared_bytes() const {
    return 2 * shared_size<C>(kit::rows * pitch) + shared_size<C>(other_size) +
           shared_size<C>(kit::tokens * kit::value_pitch) +
           shared_size<C>(kit::sub * kit::score_pitch) + shared_size<C>(4 * kit::rows);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t values_split = ceil_divide(p.n.values, kit::values);
    index_t rest = block.index();
    const index_t first_value = rest % values_split * kit::values;
    const index_t head = (rest /= values_split) % p.n.heads;
    rest /= p.n.heads;
    index_t tile = 0;
    chunk_place here{};
    if (finds_tiles()) {
      here = tiles().at(p, rest);
      if (here.tokens.count() == 0) return;
      const token_range all = tokens_of(p, here.sequence);
      const index_t past = here.chunk * kit::tokens;
      tile = past % chunks.length / kit::tokens;
      here.chunk = past / chunks.length;
      here.slot = chunks.first_slot(here.sequence, all.first) + here.chunk;
      here.tokens = chunks.tokens(all, here.chunk);
    } else {
      tile = rest % tiles_a_chunk();
      here = chunks.at(p, rest / tiles_a_chunk());
    }
    const index_t first = here.tokens.first + tile * kit::tokens;
    if (first < here.tokens.last) {
      const index_t last = first + kit::tokens;
      const token_range mine{first, last < here.tokens.last ? last : here.tokens.last};
      compute(block, here, head, mine, first_value);
    } else if (Adjoint) {
      store_parameters(block, here, head, first_value, typename kit::sums{});
    }
  }

 private:
  template <class Block>
  GATESCAN_HD void compute(Block& block, const chunk_place& here, index_t head,
                           const token_range& mine, index_t first_value) const {
    const auto own = block.template shared<C>(kit::rows * pitch);
    const auto other = block.template shared<C>(other_size);
    const auto gates = block.template shared<C>(kit::rows * pitch);
    const auto values = block.template shared<C>(kit::tokens * kit::value_pitch);
    const auto scores = block.template shared<C>(kit::sub * kit::score_pitch);
    const auto between = block.template shared<C>(4 * kit::rows);
    const auto x = head_operands(p, here.batch, head);
    const auto head_d_out = d_o.d_out.of_head(here.batch, head, 0);
    const int thread = block.thread();
    using walk = chunk_walk<R, T, Adjoint>;
    sums_t sum;
    // Of the thread's column the first own token (backward the last) that sees a value that is not
    // finite. Such values are left out: in products 0 times NaN would reach tokens that do not.
    int tainted = Adjoint ? -1 : kit::tokens;

    for (index_t first_key = 0; first_key < p.n.keys; first_key += kit::keys) {
      const index_t keys_left = p.n.keys - first_key;
      const int keys = keys_left < kit::keys ? static_cast<int>(keys_left) : kit::keys;
      walk::load_own(block, x, p.n, mine, first_key, own);
      // tiles of tokens from the own one on, away from it
      const index_t aligned = here.tokens.first;
      for (index_t t = mine.first; t >= aligned && t < here.tokens.last;
           t += Adjoint ? kit::tokens : -kit::tokens) {
        const index_t end = t + kit::tokens;
        const token_range there{t, end < here.tokens.last ? end : here.tokens.last};
        const bool diagonal = t == mine.first;
        walk::load_other(block, x, p.n, there, first_key, other, gates);
        for (int n = thread; n < kit::tokens * kit::values; n += kit::threads) {
          const index_t time = t + n / kit::values, value = first_value + n % kit::values;
          C number = 0;
          if (time < there.last && value < p.n.values) {
            if constexpr (Adjoint)
              number = d_o(x, head_d_out, here.batch, head, time, value);
            else
              number = R::values(x, typename kit::at{0, time, 0, 0, value}).v;
          }
          if (!is_finite(number)) {
            number = 0;
            const int seen = diagonal ? n / kit::values : Adjoint ? kit::tokens : 0;
            tainted = Adjoint == (seen > tainted) ? seen : tainted;
          }
          values[n / kit::values * kit::value_pitch + n % kit::values] = number;
        }
        block.sync();
        if (diagonal) {
          walk::meet_in_blocks(block, keys, own, other, gates, scores);
          block.sync();
          add_own_blocks(block, scores, values, sum);
        }
        walk::decay_other(block, other, gates, between);
        block.sync();
        for (int n = 0; n < kit::tokens / kit::sub; ++n) {
          const int b = Adjoint ? n : kit::tokens / kit::sub - 1 - n;
          // nobody walks past the first one, and empty ones change nothing
          if ((diagonal && n == 0) || t + b * kit::sub >= there.last) continue;
          walk::meet(block, keys, diagonal, b, own, other, scores);
          block.sync();
          // only by those that see them
          const int from = diagonal && !Adjoint ? (b + 1) * kit::sub : 0,
                    to = diagonal && Adjoint ? b * kit::sub : kit::tokens;
          sum.add(block, from, to, kit::sub, scores, kit::score_pitch,
                  values + b * kit::sub * kit::value_pitch, kit::value_pitch);
          walk::move_on(block, keys, diagonal, b, own, between);
          block.sync();
        }
      }
      // own tokens now see the chunk's start (backward: its end)
      for (int n = thread; n < kit::rows * kit::values; n += kit::threads) {
        const int row = n / kit::values;
        const index_t key = first_key + row % kit::keys, value = first_value + n % kit::values;
        C number = 0;
        if (key < p.n.keys && value < p.n.values)
          number = state_part(here, head, row / kit::keys, key, value);
        other[row * kit::value_pitch + n % kit::values] =
            !Adjoint && row >= kit::keys ? -number : number;
      }
      block.sync();
      for (int row = 0; row < kit::rows; row += kit::keys)
        sum.add(block, keys, own + row * pitch, pitch, other + row * kit::value_pitch,
                kit::value_pitch);
      block.sync();
    }
    bool broken = false;
    gates[thread] = static_cast<C>(tainted);
    sum.for_each(thread, [&](int t, int column, C total) {
      broken = broken || !is_finite(total);
      own[t * kit::values + column] = total;
    });
    block.sync();
    for (int n = thread; n < kit::tokens * kit::values; n += kit::threads)
      for (int i = n % kit::values; i < kit::threads; i += kit::values) {
        const int seen = static_cast<int>(C(gates[i])), t = n / kit::values;
        if (Adjoint ? t > seen : t < seen) continue;
        own[n] = C(0) / C(0);
        broken = true;
      }
    if (block.any(broken)) {
      recompute(block, x, head_d_out, here, head, mine, first_value, other, own);
      block.sync();
    }
    finish(block, x, head_d_out, here, head, mine, first_value, own);
  }

  template <class Block>
  GATESCAN_HD void store_parameters(Block& block, const chunk_place& here, index_t head,
                                    index_t first_value, const typename kit::sums& sums) const {
    const index_t value = first_value + block.thread() % kit::values;
    if (value < p.n.values)
      gradients.store_parameters(side::values, sums, here, head, value,
                                 block.thread() / kit::values);
  }

  // P v of the tokens' own blocks of 16: scores are [token of the block][token]
  template <class Block, class Array>
  GATESCAN_HD void add_own_blocks(Block& block, const Array& scores, const Array& values,
                                  sums_t& sum) const {
    const int thread = block.thread();
    if constexpr (kit::by_warps) {
      sum.add(block, kit::sub, scores, kit::score_pitch,
              values + thread / warp_threads * kit::sub * kit::value_pitch, kit::value_pitch);
    } else {
      add_exactly(thread, scores, values, sum);
    }
  }
  template <class Array>
  GATESCAN_HD void add_exactly(int thread, const Array& scores, const Array& values,
                               sums_t& sum) const {
    for (int s = 0; s < kit::sub; ++s)
      for (int m = 0; m < sums_t::rows; ++m) {
        const int t = sums_t::row(thread, m),
                  row = (t / kit::sub * kit::sub + s) * kit::value_pitch;
        const C score = scores[s * kit::score_pitch + t];
        for (int n = 0; n < sums_t::columns; ++n)
          sum.sum[m][n] = fma(score, C(values[row + sums_t::column(thread, n)]), sum.sum[m][n]);
      }
  }

  GATESCAN_HD C state_part(const chunk_place& here, index_t head, int plane, index_t key,
                           index_t value) const {
    if (states.states == nullptr) {
      const auto& from = p.initial_state;
      const C* const numbers = plane == 0 ? from.re : from.im;
      if (!from.given || numbers == nullptr) return C(0);
      return numbers[from.offset(here.sequence, 0, head) + key * from.key + value * from.value];
    }
    return states.state(here.slot, head)[plane * states.plane() + key * p.n.values + value];
  }
  GATESCAN_HD E state_at(const chunk_place& here, index_t head, index_t key, index_t value) const {
    if constexpr (kit::complex)
      return {state_part(here, head, 0, key, value), state_part(here, head, 1, key, value)};
    else
      return state_part(here, head, 0, key, value);
  }

  // A thread a column, over all keys and the chunk's tokens. What was finite stays as it is, so
  // that a NaN changes no bit of what does not depend on it.
  template <class Block, class Array, class Gradient>
  GATESCAN_HD void recompute(Block& block, const typename kit::fields& x,
                             const Gradient& head_d_out, const chunk_place& here, index_t head,
                             const token_range& mine, index_t first_value, const Array& again,
                             const Array& result) const {
    const int column = block.thread();
    const index_t value = first_value + column;
    if (column >= kit::values || value >= p.n.values) return;
    for (int t = 0; t < kit::tokens; ++t) again[t * kit::values + column] = C(0);
    const auto collect = [&](index_t t, C term) {
      if (t < mine.first || t >= mine.last) return;
      const int n = static_cast<int>(t - mine.first) * kit::values + column;
      again[n] = C(again[n]) + term;
    };
    for (index_t key = 0; key < p.n.keys; ++key) {
      E state = state_at(here, head, key, value);
      if constexpr (Adjoint) {
        for (index_t t = here.tokens.last - 1; t >= mine.first; --t) {
          const auto token = R::keys(x, typename kit::at{0, t, 0, key, 0});
          state = state + conj(token.q) * d_o(x, head_d_out, here.batch, head, t, value);
          collect(t, real_part(conj(state) * token.k));
          state = decayed(conj(token.gate), state);
        }
      } else {
        for (index_t t = here.tokens.first; t < mine.last; ++t) {
          const auto token = R::keys(x, typename kit::at{0, t, 0, key, 0});
          const C v = R::values(x, typename kit::at{0, t, 0, 0, value}).v;
          state = decayed(token.gate, state) + token.k * v;
          collect(t, real_part(token.q * state));
        }
      }
    }
    for (int n = column; n < kit::tokens * kit::values; n += kit::values)
      if (!is_finite(C(result[n]))) result[n] = C(again[n]);
  }

  template <class Block, class Array, class Gradient>
  GATESCAN_HD void finish(Block& block, const typename kit::fields& x, const Gradient& head_d_out,
                          const chunk_place& here, index_t head, const token_range& mine,
                          index_t first_value, const Array& result) const {
    block.sync();
    typename kit::sums sums{};
    const auto head_out = out.of_head(here.batch, head, 0);
    for (int n = block.thread(); n < kit::tokens * kit::values; n += kit::threads) {
      const index_t t = mine.first + n / kit::values, value = first_value + n % kit::values;
      if (t >= mine.last || value >= p.n.values) continue;
      const typename kit::at at{0, t, 0, 0, value};
      const C total = result[n];
      if constexpr (Adjoint) {
        const auto w = R::values(x, at);
        std::remove_const_t<decltype(w)> d_w{};
        d_o(x, head_d_out, here.batch, head, t, value, w, d_w, sums);
        d_w.v = d_w.v + total;
        R::values_adjoint(x, sums, at, w, d_w);
        gradients.store_token(side::values, sums, here, head, t, value);
      } else if (o != nullptr) {
        o[((here.batch * p.n.time + t) * p.n.heads + head) * p.n.values + value] = total;
      } else {
        head_out.re[t * head_out.time + value * head_out.value] =
            convert<S>(R::output(x, at, R::values(x, at), total));
      }
    }
    if constexpr (Adjoint) store_parameters(block, here, head, first_value, sums);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
