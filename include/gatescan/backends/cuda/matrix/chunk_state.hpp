#pragma once
// First pass over chunks: what a chunk adds to the state (K x V), and the product of its gates (K).
// Backward the same, from what the outputs add to the gradient of the state at the chunk's start.
//
//   forward  sum_s (k_s prod_{j>s} a_j) v_s^T      backward  sum_t conj(q_t prod_{j<=t} a_j) do_t^T
//
// A block works on a tile of keys and values, 16 tokens at a time: [16][keys]^T [16][values]. Half
// of its threads multiply keys by gates, one key each, while the others fetch values.

#include "gate_product.hpp"
#include "output_gradient.hpp"
#include "stored_states.hpp"
#include "tile_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint>
struct chunk_state {
  static constexpr needs of_beside = needs::nothing;
  using config = tile_config<R, T>;
  using C = typename config::C;
  using E = typename config::E;

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> to;
  output_gradient<R, T> d_o{};

  index_t key_tiles() const { return ceil_divide(p.n.keys, config::keys); }
  index_t value_tiles() const { return ceil_divide(p.n.values, config::values); }
  index_t blocks() const { return chunks.slot_count() * p.n.heads * key_tiles() * value_tiles(); }
  int threads() const { return config::threads; }
  static constexpr int blocks_a_multiprocessor = config::blocks_a_multiprocessor;
  int shared_bytes() const {
    return shared_size<C>(config::subchunk * config::row_pitch) +
           shared_size<C>(config::subchunk * config::value_pitch);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t values_split = ceil_divide(p.n.values, config::values),
                  keys_split = ceil_divide(p.n.keys, config::keys);
    index_t rest = block.index();
    const index_t first_value = rest % values_split * config::values;
    const index_t first_key = (rest /= values_split) % keys_split * config::keys;
    const index_t head = (rest /= keys_split) % p.n.heads;
    const segment chunk = chunks.at(rest / p.n.heads);
    const index_t count = chunk.tokens.count();
    if (count == 0) return;
    const auto keys = block.template shared<C>(config::subchunk * config::row_pitch);
    const auto values = block.template shared<C>(config::subchunk * config::value_pitch);
    const auto x = head_operands(p, chunk.batch, head);
    const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
    const int thread = block.thread();
    const index_t key = first_key + thread;
    const bool has_key = thread < config::keys && key < p.n.keys;
    E decay = number_cast<E>(C(1));
    gate_product<R, T> product;
    product_sums<config, config::rows, config::values, true> sum;

    const index_t steps = ceil_divide(count, config::subchunk);
    for (index_t step = 0; step < steps; ++step) {
      const index_t first =
          chunk.tokens.first + (Adjoint ? step : steps - 1 - step) * config::subchunk;
      block.sync();
      if (thread < config::keys) {
        for (int n = 0; n < config::subchunk; n += together)
          decay_keys(x, first, n, key, has_key, chunk, decay, product, keys, thread);
      } else {
        stage<config::subchunk * config::values, config::threads - config::keys>(
            thread - config::keys,
            [&](int n) -> C {
              const index_t t = first + n / config::values,
                            value = first_value + n % config::values;
              const bool inside = t < chunk.tokens.last && value < p.n.values;
              const index_t time = inside ? t : first, j = inside ? value : 0;
              C number;
              if constexpr (Adjoint)
                number = d_o(x, head_d_out, chunk.batch, head, time, j);
              else
                number = R::values(x, typename config::cursor{0, time, 0, 0, j}).v;
              return inside ? number : C(0);
            },
            [&](int n, C number) {
              values[n / config::values * config::value_pitch + n % config::values] = number;
            });
      }
      block.sync();
      sum.add(block, config::subchunk, keys, config::row_pitch, values, config::value_pitch);
    }
    C* const state = to.state(chunk.slot, head);
    sum.for_each(thread, [&](int row, int column, C total) {
      const index_t i = first_key + row % config::keys, j = first_value + column;
      if (i < p.n.keys && j < p.n.values)
        state[row / config::keys * to.plane() + i * p.n.values + j] = total;
    });
    if constexpr (!Adjoint)
      if (has_key && first_value == 0) to.product(chunk.slot, head)[key] = product.value(x);
  }

 private:
  static constexpr int together = 8;  // tokens of a key that are read before they are used

  // The n-th tokens of a subchunk and those after them, in the order of the product of gates.
  template <class Array>
  GATESCAN_HD static void decay_keys(const typename config::fields& x, index_t first, int n,
                                     index_t key, bool has_key, const segment& chunk, E& decay,
                                     gate_product<R, T>& product, const Array& keys, int thread) {
    registers<E, together> number, gate, factor;
    registers<bool, together> there;
    unrolled<together>([&](int i) {
      const int s = Adjoint ? n + i : config::subchunk - 1 - n - i;
      there[i] = has_key && first + s < chunk.tokens.last;
      const typename config::cursor at{0, there[i] ? first + s : first, 0, there[i] ? key : 0, 0};
      const auto token = R::keys(x, at);
      number[i] = Adjoint ? token.q : token.k;
      gate[i] = there[i] ? E(token.gate) : number_cast<E>(C(1));
      if constexpr (!Adjoint) factor[i] = product.factor_of(x, at, token.gate, there[i]);
    });
    unrolled<together>([&](int i) {
      const int s = Adjoint ? n + i : config::subchunk - 1 - n - i;
      if constexpr (Adjoint) decay = decayed(gate[i], decay);
      const E decayed_number = Adjoint ? conj(number[i] * decay) : number[i] * decay;
      put_number(keys, s * config::row_pitch + thread, config::keys,
                 there[i] ? decayed_number : E{});
      if constexpr (!Adjoint) {
        decay = decayed(gate[i], decay);
        product.add(x, factor[i]);
      }
    });
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
