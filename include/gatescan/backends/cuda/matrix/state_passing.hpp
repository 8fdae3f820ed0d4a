#pragma once
// From chunk to chunk c, in order: S_{c+1} = (prod of the gates of c) * S_c + (what c adds), for
// [keys][values] of every sequence and head; backward the gradient, from the last chunk to the
// first. A thread has an entry of the state, in double for states in float. What chunks add is
// replaced by the state at their start (backward: its gradient at their end). Where something is
// not finite, the thread takes the entry through the chunk's tokens: resets are exact there.

#include "chunk_state.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint>
struct state_passing {
  static constexpr needs of_beside = Adjoint ? needs::everything : needs::state;
  using config = tile_config<R, T>;
  using C = typename config::C;
  using E = typename config::E;
  using D = typename config::D;
  static constexpr int ahead = tuned.chunks_ahead;

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> at;
  operand<const C> from{};              // the initial state, or the gradient of the final one
  operand<C> final_state{};             // forward
  gradient_sink<C, C> initial_state{};  // backward
  output_gradient<R, T> d_o{};

  index_t entries() const { return p.n.sequences * p.n.heads * p.n.keys * p.n.values; }
  index_t blocks() const { return ceil_divide(entries(), threads()); }
  int threads() const { return config::threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    index_t rest = block.index() * block.threads() + block.thread();
    if (rest >= p.n.sequences * p.n.heads * p.n.keys * p.n.values) return;
    const index_t value = rest % p.n.values;
    const index_t key = (rest /= p.n.values) % p.n.keys;
    const index_t head = (rest /= p.n.keys) % p.n.heads, sequence = rest / p.n.heads;
    const token_range all = chunks.tokens_of(sequence);
    const index_t count = ceil_divide(all.count(), chunks.tokens),
                  first_slot = chunks.first_slot(sequence);
    const index_t entry = key * p.n.values + value;

    D state = number_cast<D>(load_state<E>(from, sequence, head, key, value));
    for (index_t done = 0; done < count; done += ahead) {
      D product[static_cast<std::size_t>(ahead)];
      E added[static_cast<std::size_t>(ahead)];
      unrolled<ahead>([&](int n) {
        if (done + n >= count) return;
        const index_t slot = first_slot + (Adjoint ? count - 1 - done - n : done + n);
        product[n] = at.product(slot, head)[key];
        added[n] = number_at<E>(at.state(slot, head), entry, at.plane());
      });
      unrolled<ahead>([&](int n) {
        if (done + n >= count) return;
        const index_t index = Adjoint ? count - 1 - done - n : done + n;
        put_number(at.state(first_slot + index, head), entry, at.plane(), number_cast<E>(state));
        const D next =
            decayed(Adjoint ? conj(product[n]) : product[n], state) + number_cast<D>(added[n]);
        const bool fine = is_finite(state) && is_finite(next);
        state = fine ? next : stepped(chunks.of(sequence, index), head, key, value, state);
      });
    }
    if constexpr (Adjoint) {
      const E g = number_cast<E>(state);
      accumulator<C> sum;
      typename config::cursor at_state{sequence, 0, head, key, value};
      at_state.add(sum, g);
      initial_state.store(at_state, sequence, 0, sum);
    } else {
      store_state(final_state, sequence, head, key, value, number_cast<E>(state));
    }
  }

 private:
  // the entry through a chunk, token by token
  GATESCAN_HD D stepped(const segment& chunk, index_t head, index_t key, index_t value,
                        D state) const {
    const auto x = head_operands(p, chunk.batch, head);
    const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
    for (index_t n = 0; n < chunk.tokens.count(); ++n) {
      const index_t t = Adjoint ? chunk.tokens.last - 1 - n : chunk.tokens.first + n;
      const auto token = R::keys(x, typename config::cursor{0, t, 0, key, 0});
      if constexpr (Adjoint) {
        const C g = d_o(x, head_d_out, chunk.batch, head, t, value);
        state =
            decayed(number_cast<D>(conj(token.gate)), state + number_cast<D>(conj(token.q) * g));
      } else {
        const C v = R::values(x, typename config::cursor{0, t, 0, 0, value}).v;
        state = decayed(number_cast<D>(token.gate), state) + number_cast<D>(token.k * v);
      }
    }
    return state;
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
