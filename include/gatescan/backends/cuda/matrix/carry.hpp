#pragma once
// From chunk to chunk, in order: a thread an entry of the state, in double for states in float.
// What chunks add is replaced by the state at their start (backward: its gradient at their end).
// Where something is not finite, the thread walks the chunk's tokens: resets are exact there.

#include "summaries.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool Adjoint>
struct matrix_carry {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  using E = typename kit::E;
  using D = typename kit::D;
  static constexpr int ahead = 4;  // chunks whose numbers are fetched together

  problem_of<R, T> p;
  time_chunks chunks;
  chunk_states<R, T> at;
  operand<const C> from{};              // the initial state, or the gradient of the final one
  operand<C> final_state{};             // forward
  gradient_sink<C, C> initial_state{};  // backward
  output_gradient<R, T> d_o{};

  index_t entries() const { return p.n.sequences * p.n.heads * p.n.keys * p.n.values; }
  index_t blocks() const { return ceil_divide(entries(), threads()); }
  int threads() const { return kit::threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    index_t rest = block.index() * block.threads() + block.thread();
    if (rest >= p.n.sequences * p.n.heads * p.n.keys * p.n.values) return;
    const index_t value = rest % p.n.values;
    const index_t key = (rest /= p.n.values) % p.n.keys;
    const index_t head = (rest /= p.n.keys) % p.n.heads, sequence = rest / p.n.heads;
    const token_range all = tokens_of(p, sequence);
    const index_t count = ceil_divide(all.count(), chunks.length),
                  first_slot = chunks.first_slot(sequence, all.first);
    const index_t entry = key * p.n.values + value;

    D state = converted<D>(load_state<E>(from, sequence, head, key, value));
    for (index_t done = 0; done < count; done += ahead) {
      D product[ahead];
      E added[ahead];
      for (int n = 0; n < ahead; ++n) {
        if (done + n >= count) break;
        const index_t slot = first_slot + (Adjoint ? count - 1 - done - n : done + n);
        product[n] = at.product(slot, head)[key];
        added[n] = number_at<E>(at.state(slot, head), entry, at.plane());
      }
      for (int n = 0; n < ahead; ++n) {
        if (done + n >= count) break;
        const index_t chunk = Adjoint ? count - 1 - done - n : done + n;
        put_number(at.state(first_slot + chunk, head), entry, at.plane(), converted<E>(state));
        const D next =
            decayed(Adjoint ? conj(product[n]) : product[n], state) + converted<D>(added[n]);
        const bool fine = is_finite(state) && is_finite(next);
        state =
            fine ? next
                 : walk(chunks.tokens(all, chunk), p.batch_of(sequence), head, key, value, state);
      }
    }
    if constexpr (Adjoint) {
      const E g = converted<E>(state);
      accumulator<C> sum;
      typename kit::at here{sequence, 0, head, key, value};
      here.add(sum, g);
      initial_state.store(here, sequence, 0, sum);
    } else {
      store_state(final_state, sequence, head, key, value, converted<E>(state));
    }
  }

 private:
  // the entry through a chunk, token by token
  GATESCAN_HD D walk(const token_range& tokens, index_t batch, index_t head, index_t key,
                     index_t value, D state) const {
    const auto x = head_operands(p, batch, head);
    const auto head_d_out = d_o.d_out.of_head(batch, head, 0);
    for (index_t n = 0; n < tokens.count(); ++n) {
      const index_t t = Adjoint ? tokens.last - 1 - n : tokens.first + n;
      const auto token = R::keys(x, typename kit::at{0, t, 0, key, 0});
      if constexpr (Adjoint) {
        const C g = d_o(x, head_d_out, batch, head, t, value);
        state = decayed(converted<D>(conj(token.gate)), state + converted<D>(conj(token.q) * g));
      } else {
        const C v = R::values(x, typename kit::at{0, t, 0, 0, value}).v;
        state = decayed(converted<D>(token.gate), state) + converted<D>(token.k * v);
      }
    }
    return state;
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
