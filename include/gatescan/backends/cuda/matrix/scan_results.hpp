#pragma once
// chunk_scan's results, from the sums of a tile: through the recurrence's epilogue (backward the
// adjoint of its values). What is not finite is computed again token by token.

#include "gradient_stores.hpp"
#include "split_tile.hpp"
#include "stored_states.hpp"
#include "value_reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, bool Adjoint>
struct scan_results {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using S = typename config::S;
  using E = typename config::E;

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> states;         // none: the caller's initial state
  output_gradient<R, T> d_o{};        // backward
  operand<S> out{};                   // forward
  C* o = nullptr;                     // forward: o before the epilogue, in place of the output
  gradient_stores<R, T> gradients{};  // backward

 protected:
  static constexpr int rows_together = config::threads / config::values;

  // From the sums of a tile to results, by way of `result` and, where something is not finite,
  // `again`. seen[n]: first_non_finite of column n % values.
  template <class Block, class Gradient, class ForEach, class Array>
  GATESCAN_HD void settle(Block& block, const typename config::fields& x,
                          const Gradient& head_d_out, const segment& chunk, index_t head,
                          const token_range& mine, index_t first_value, const ForEach& for_each,
                          const Array& result, const Array& again, const Array& seen,
                          int seen_size) const {
    bool non_finite = false;
    for_each([&](int t, int column, C total) {
      non_finite = non_finite || !is_finite(total);
      result[t * config::values + column] = total;
    });
    block.sync();
    // a thread has a column, or a column has several threads
    static_assert(config::threads % config::values == 0);
    const int column = block.thread() % config::values, row = block.thread() / config::values;
    int first = Adjoint ? -1 : config::tokens;
    for (int i = column; i < seen_size; i += config::values) {
      const int of_i = static_cast<int>(C(seen[i]));
      first = Adjoint == (of_i > first) ? of_i : first;
    }
    if (first != (Adjoint ? -1 : config::tokens)) {
      non_finite = true;
      for (int t = row; t < config::tokens; t += rows_together)
        if (Adjoint ? t <= first : t >= first)
          result[t * config::values + column] = static_cast<C>(__builtin_nanf(""));
    }
    if (block.any(non_finite)) {
      recompute(block, x, head_d_out, chunk, head, mine, first_value, again, result);
      block.sync();
    }
    finish(block, x, head_d_out, chunk, head, mine, first_value, result);
  }

  template <class Block>
  GATESCAN_HD void store_parameters(Block& block, const segment& chunk, index_t head,
                                    index_t first_value, const typename config::sums& sums) const {
    const index_t value = first_value + block.thread() % config::values;
    if (value < p.n.values)
      gradients.store_parameters(side::values, sums, chunk, head, value,
                                 block.thread() / config::values);
  }

  GATESCAN_HD state_parts<C> state_of(const segment& chunk, index_t head,
                                      index_t first_value = 0) const {
    if (states.states != nullptr) {
      const C* const first = states.state(chunk.slot, head) + first_value;
      return {first, first + states.plane(), true, true, p.n.values, 1};
    }
    const auto& from = p.initial_state;
    const index_t first =
        from.given ? from.offset(chunk.sequence, 0, head) + first_value * from.value : 0;
    const bool has_im = from.given && from.im != nullptr;
    return {from.re + first, has_im ? from.im + first : from.im, from.given, has_im, from.key,
            from.value};
  }
  GATESCAN_HD static C state_part(const state_parts<C>& from, bool imaginary, index_t key,
                                  index_t value) {
    if (!(imaginary ? from.has_im : from.has_re)) return C(0);
    return (imaginary ? from.im : from.re)[key * from.key + value * from.value];
  }
  GATESCAN_HD static E state_at(const state_parts<C>& from, index_t key, index_t value) {
    if constexpr (config::complex)
      return {state_part(from, false, key, value), state_part(from, true, key, value)};
    else
      return state_part(from, false, key, value);
  }

  // A thread a column, over all keys and the chunk's tokens. What was finite stays as it is, so
  // that a NaN changes no bit of what does not depend on it.
  template <class Block, class Array, class Gradient>
  GATESCAN_HD void recompute(Block& block, const typename config::fields& x,
                             const Gradient& head_d_out, const segment& chunk, index_t head,
                             const token_range& mine, index_t first_value, const Array& again,
                             const Array& result) const {
    const int column = block.thread();
    const index_t value = first_value + column;
    if (column >= config::values || value >= p.n.values) return;
    for (int t = 0; t < config::tokens; ++t) again[t * config::values + column] = C(0);
    const auto collect = [&](index_t t, C term) {
      if (t < mine.first || t >= mine.last) return;
      const int n = static_cast<int>(t - mine.first) * config::values + column;
      again[n] = C(again[n]) + term;
    };
    const auto from = state_of(chunk, head);
    for (index_t key = 0; key < p.n.keys; ++key) {
      E state = state_at(from, key, value);
      if constexpr (Adjoint) {
        for (index_t t = chunk.tokens.last - 1; t >= mine.first; --t) {
          const auto token = R::keys(x, typename config::cursor{0, t, 0, key, 0});
          state = state + conj(token.q) * d_o(x, head_d_out, chunk.batch, head, t, value);
          collect(t, real_part(conj(state) * token.k));
          state = decayed(conj(token.gate), state);
        }
      } else {
        for (index_t t = chunk.tokens.first; t < mine.last; ++t) {
          const auto token = R::keys(x, typename config::cursor{0, t, 0, key, 0});
          const C v = R::values(x, typename config::cursor{0, t, 0, 0, value}).v;
          state = decayed(token.gate, state) + token.k * v;
          collect(t, real_part(token.q * state));
        }
      }
    }
    for (int n = column; n < config::tokens * config::values; n += config::values)
      if (!is_finite(C(result[n]))) result[n] = C(again[n]);
  }

  template <class Block, class Array, class Gradient>
  GATESCAN_HD void finish(Block& block, const typename config::fields& x,
                          const Gradient& head_d_out, const segment& chunk, index_t head,
                          const token_range& mine, index_t first_value, const Array& result) const {
    block.sync();
    typename config::sums sums{};
    const int column = block.thread() % config::values, count = static_cast<int>(mine.count()),
              first_row = block.thread() / config::values;
    const index_t value = first_value + column;
    if (value < p.n.values) {
      if constexpr (Adjoint) {
        constexpr int together = tuned.tokens_together, tokens = config::tokens / rows_together;
        static_assert(tokens % together == 0);
        const int begin = block.thread() / config::values * tokens, end = begin + tokens;
        for (int part = begin; part < end && part < count; part += together) {
          registers<typename config::sums, together> d;
          unrolled<together>([&](int i) {
            const int row = part + i;
            const index_t t = mine.first + (row < count ? row : count - 1);
            const typename config::cursor at{0, t, 0, 0, value};
            const auto w = R::values(x, at);
            std::remove_const_t<decltype(w)> d_w{};
            if constexpr (output_gradient<R, T>::needs_o)
              d_o(x, head_d_out, chunk.batch, head, t, value, w, d_w, d[i]);
            d_w.v = d_w.v + C(result[row * config::values + column]);
            R::values_adjoint(x, d[i], at, w, d_w);
          });
          gradients.template store_tokens<together>(side::values, d, count - part, sums, chunk,
                                                    head, mine.first + part, value);
        }
      } else {
        const auto head_out = out.of_head(chunk.batch, head, 0);
        if (first_row >= count) return;
        index_t t = mine.first + first_row;
        if constexpr (!output_gradient<R, T>::needs_o) {
          // the output is o, which nobody else asks for
          S* to = head_out.re + t * head_out.time + value * head_out.value;
          const index_t step = rows_together * head_out.time;
          constexpr int rows = config::tokens / rows_together;
          const auto store = [&](int row) {
            *to = convert<S>(C(result[row * config::values + column]));
            to += step;
          };
          if (count == config::tokens)
            unrolled<rows>([&](int i) { store(first_row + i * rows_together); });
          else
            for (int row = first_row; row < count; row += rows_together) store(row);
        } else {
          auto here = x;
          move_operands<R, T>(here, t, 0, value);
          for (int row = first_row; row < count; row += rows_together, t += rows_together) {
            const C total = result[row * config::values + column];
            const typename config::cursor at{0, 0, 0, 0, 0};
            if (o != nullptr)
              o[((chunk.batch * p.n.time + t) * p.n.heads + head) * p.n.values + value] = total;
            else
              head_out.re[t * head_out.time + value * head_out.value] =
                  convert<S>(R::output(here, at, R::values(here, at), total));
            if (row + rows_together < count) move_operands<R, T>(here, rows_together, 0);
          }
        }
      }
    }
    if constexpr (Adjoint) store_parameters(block, chunk, head, first_value, sums);
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
