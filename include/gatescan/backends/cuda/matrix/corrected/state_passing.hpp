#pragma once
// From chunk to chunk with a corrected transition. What a chunk writes depends on all keys of the
// state, so that a block has a panel of columns with all of them:
//
//   forward   U  = U0 - W S       S_{c+1} = (prod of gates) * S + k^^T U
//   backward  dV = dV0 + Z G      G_{c-1} = (prod of gates) * G + (what the outputs add) - p^^T dV
//
// The states at the starts of chunks (backward their gradients at the ends) are stored, U and dV
// take the place of U0 and dV0. What is carried is in double. Where something is not finite a
// thread takes its column through the chunk's tokens, as the definition does, and what was finite
// stays as it is.

#include "../lowered/rows.hpp"
#include "../stored_states.hpp"
#include "../tile_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class T, transition Moves, bool Adjoint>
struct corrected_passing {
  static constexpr needs of_beside = Adjoint ? needs::everything : needs::state;
  static constexpr bool before_gate = Moves == transition::low_rank;  // p reads
  using config = tile_config<row_product, T>;
  using C = typename config::C;
  static constexpr int tokens = config::tokens, depth = config::subchunk;
  static constexpr int columns = warp_threads, keys = 64;  // of a tile
  static constexpr int key_pitch = keys + config::apart;

  sizes n;
  time_split chunks;                            // of no more than 64 tokens
  token_rows<C> rows{};                         // for what is not finite; v: values, backward d_o
  const C *reads = nullptr, *writes = nullptr;  // W and k^, or Z and p^
  C* solved = nullptr;                          // U0, or dV0
  stored_states<row_product, T> at{};           // backward holds what the outputs add
  operand<const C> from{};              // the initial state, or the gradient of the final one
  operand<C> final_state{};             // forward
  gradient_sink<C, C> initial_state{};  // backward
  double* carried = nullptr;            // of blocks, [key][column]
  C* exact = nullptr;                   // the same: of a chunk, token by token

  GATESCAN_HD index_t panels() const { return ceil_divide(n.values, columns); }
  GATESCAN_HD index_t panel_size() const { return n.keys * columns; }
  index_t blocks() const { return n.sequences * n.heads * panels(); }
  int threads() const { return config::threads; }
  int shared_bytes() const {
    return shared_size<C>(depth * key_pitch) + shared_size<C>(depth * columns) +
           shared_size<C>(tokens * columns);
  }
  void take(arena& memory) {
    carried = memory.take<double>(blocks() * panel_size());
    exact = memory.take<C>(blocks() * panel_size());
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    index_t rest = block.index();
    const index_t first_value = rest % panels() * columns;
    const index_t head = (rest /= panels()) % n.heads, sequence = rest / n.heads;
    const token_range all = chunks.tokens_of(sequence);
    const index_t count = ceil_divide(all.count(), chunks.tokens);
    double* const carry = carried + block.index() * panel_size();
    const auto keys_by_16 = block.template shared<C>(depth * key_pitch);
    const auto values_by_16 = block.template shared<C>(depth * columns);
    const auto values = block.template shared<C>(tokens * columns);  // U, or dV
    const panel<Block> mine{block, keys_by_16, values_by_16, values, head, first_value};

    for_each_entry(block.thread(), first_value, [&](index_t i, index_t key, index_t value) {
      carry[i] = double(load_state<C>(from, sequence, head, key, value));
    });
    for (index_t done = 0; done < count; ++done)
      pass(mine, chunks.of(sequence, Adjoint ? count - 1 - done : done), carry);
    block.sync();
    if constexpr (Adjoint) {
      for_each_entry(block.thread(), first_value, [&](index_t i, index_t key, index_t value) {
        accumulator<C> sum;
        const typename config::cursor here{sequence, 0, head, key, value};
        here.add(sum, C(carry[i]));
        initial_state.store(here, sequence, 0, sum);
      });
    } else {
      store_final(block);
    }
  }
  /// Forward: the final states, which are still carried.
  template <class Block>
  GATESCAN_HD void store_final(Block& block) const {
    index_t rest = block.index();
    const index_t first_value = rest % panels() * columns;
    const index_t head = (rest /= panels()) % n.heads, sequence = rest / n.heads;
    const double* const carry = carried + block.index() * panel_size();
    for_each_entry(block.thread(), first_value, [&](index_t i, index_t key, index_t value) {
      store_state(final_state, sequence, head, key, value, C(carry[i]));
    });
  }

 private:
  template <class Block>
  struct panel {
    using array = decltype(std::declval<Block&>().template shared<C>(1));
    Block& block;
    array keys_by_16, values_by_16, values;
    index_t head, first_value;
  };
  // f(place in the panel, key, value)
  template <class F>
  GATESCAN_HD void for_each_entry(int thread, index_t first_value, F&& f) const {
    for (index_t i = thread; i < panel_size(); i += config::threads)
      if (first_value + i % columns < n.values) f(i, i / columns, first_value + i % columns);
  }
  GATESCAN_HD index_t row(const segment& chunk, index_t t, index_t head) const {
    return row_at(n, chunk.batch, chunk.tokens.first + t, head);
  }

  template <class Block>
  GATESCAN_HD void pass(const panel<Block>& mine, const segment& chunk, double* carry) const {
    Block& block = mine.block;
    const int thread = block.thread(), count = static_cast<int>(chunk.tokens.count());
    C* const state = at.state(chunk.slot, mine.head);
    const double* const product = at.product(chunk.slot, mine.head);
    block.sync();  // of the chunk before, what other threads carry
    for_each_entry(thread, mine.first_value, [&](index_t i, index_t key, index_t value) {
      C& entry = state[key * n.values + value];
      const C added = Adjoint ? entry : C(0);
      entry = C(carry[i]);
      carry[i] = decayed(product[key], carry[i]) + double(added);
    });
    block.sync();
    bool non_finite = solve(mine, chunk, count, state);
    block.sync();
    non_finite = write(mine, chunk, count, carry) || non_finite;
    if (!block.any(non_finite)) return;
    if (thread < columns && mine.first_value + thread < n.values)
      replay(chunk, mine.head, mine.first_value + thread, state,
             exact + block.index() * panel_size() + thread);
    block.sync();
    for_each_entry(thread, mine.first_value, [&](index_t i, index_t, index_t) {
      if (!is_finite(carry[i])) carry[i] = double(exact[block.index() * panel_size() + i]);
    });
  }

  // U = U0 - W S, or dV = dV0 + Z G, to `values` and to rows
  template <class Block>
  GATESCAN_HD bool solve(const panel<Block>& mine, const segment& chunk, int count,
                         const C* state) const {
    Block& block = mine.block;
    const int thread = block.thread();
    tile_sums<C, tokens, columns> sums;
    for (index_t first = 0; first < n.keys; first += depth) {
      block.sync();
      stage<tokens * depth, config::threads>(
          thread,
          [&](int m) -> C {
            const int t = m / depth;
            const index_t key = first + m % depth;
            const bool inside = t < count && key < n.keys;
            const C x = reads[row(chunk, inside ? t : 0, mine.head) * n.keys + (inside ? key : 0)];
            return inside ? x : C(0);
          },
          [&](int m, C x) { mine.keys_by_16[m % depth * key_pitch + m / depth] = x; });
      stage<depth * columns, config::threads>(
          thread,
          [&](int m) -> C {
            const index_t key = first + m / columns, value = mine.first_value + m % columns;
            const bool inside = key < n.keys && value < n.values;
            const C x = state[inside ? key * n.values + value : 0];
            return inside ? x : C(0);
          },
          [&](int m, C x) { mine.values_by_16[m] = x; });
      block.sync();
      const index_t left = n.keys - first;
      sums.add(block, left < depth ? static_cast<int>(left) : depth, mine.keys_by_16, key_pitch,
               mine.values_by_16, columns);
    }
    bool non_finite = false;
    sums.for_each(thread, [&](int t, int column, C sum) {
      const index_t value = mine.first_value + column;
      C x = 0;
      if (t < count && value < n.values) {
        C& to = solved[row(chunk, t, mine.head) * n.values + value];
        x = Adjoint ? to + sum : to - sum;
        to = x;
        non_finite = non_finite || !is_finite(x);
      }
      mine.values[t * columns + column] = x;
    });
    return non_finite;
  }

  // what is carried += k^^T U, or -= p^^T dV
  template <class Block>
  GATESCAN_HD bool write(const panel<Block>& mine, const segment& chunk, int count,
                         double* carry) const {
    Block& block = mine.block;
    const int thread = block.thread();
    bool non_finite = false;
    for (index_t first_key = 0; first_key < n.keys; first_key += keys) {
      tile_sums<C, keys, columns> sums;
      for (int first = 0; first < count; first += depth) {
        block.sync();
        stage<depth * keys, config::threads>(
            thread,
            [&](int m) -> C {
              const int t = first + m / keys;
              const index_t key = first_key + m % keys;
              const bool inside = t < count && key < n.keys;
              const C x =
                  writes[row(chunk, inside ? t : 0, mine.head) * n.keys + (inside ? key : 0)];
              return inside ? x : C(0);
            },
            [&](int m, C x) { mine.keys_by_16[m / keys * key_pitch + m % keys] = x; });
        block.sync();
        sums.add(block, depth, mine.keys_by_16, key_pitch, mine.values + first * columns, columns);
      }
      sums.for_each(thread, [&](int i, int column, C sum) {
        if (first_key + i >= n.keys || mine.first_value + column >= n.values) return;
        double& to = carry[(first_key + i) * columns + column];
        to = Adjoint ? to - double(sum) : to + double(sum);
        non_finite = non_finite || !is_finite(to);
      });
    }
    return non_finite;
  }

  // a column through a chunk, token by token, from its stored state on
  GATESCAN_HD void replay(const segment& chunk, index_t head, index_t value, const C* state,
                          C* column) const {
    for (index_t i = 0; i < n.keys; ++i) column[i * columns] = state[i * n.values + value];
    const index_t count = chunk.tokens.count();
    for (index_t done = 0; done < count; ++done) {
      const index_t at_row = row(chunk, Adjoint ? count - 1 - done : done, head);
      const C *q = rows.q + at_row * n.keys, *k = rows.k + at_row * n.keys,
              *gate = rows.gate + at_row * n.keys, *p_row = rows.p + at_row * n.keys;
      const C v = rows.v[at_row * n.values + value];
      C sum = 0;
      for (index_t i = 0; i < n.keys; ++i) {
        C& x = column[i * columns];
        const C before = x;
        x = Adjoint ? fma(q[i], v, x) : decayed(gate[i], x);
        sum = fma(Adjoint ? k[i] : p_row[i], !Adjoint && before_gate ? before : x, sum);
      }
      const C result = Adjoint ? sum : v - sum;
      for (index_t i = 0; i < n.keys; ++i) {
        C& x = column[i * columns];
        if (!Adjoint)
          x = fma(k[i], result, x);
        else if (before_gate)
          x = fma(-p_row[i], result, decayed(gate[i], x));
        else
          x = decayed(gate[i], fma(-p_row[i], result, x));
      }
      C& to = solved[at_row * n.values + value];
      if (!is_finite(to)) to = result;
    }
  }
};

/// The final states alone, after passing: where others read the initial ones, which they may
/// replace, in between.
template <class T, transition Moves>
struct corrected_final : corrected_passing<T, Moves, false> {
  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->store_final(block);
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
