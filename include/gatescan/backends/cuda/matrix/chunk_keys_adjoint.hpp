#pragma once
// Backward, the key side of a chunk: gradients of q, k and the gates. A gate a_t is met by every
// pair (query r >= t, key s < t); with S the states, G the gradient of the state at the chunk's end
//
//   Y_r(t) = S_{t-1} do_r                    Y_r(t+1) = a_t Y_r(t) + dP_rt k_t    dP_rs = do_r v_s
//   x_r(t) = q_r prod_{j=t+1..r} a_j
//   conj(da_t) = sum_{r>=t} x_r(t) Y_r(t)    conj(dk_t) = sum_{r>=t} x_r(t) dP_rt
//   conj(dq_r) = Y_r(r+1)
//
// and G is one more query, after the last token: x = 1, dP_s = conj(G) v_s. Strictly causal, so
// exact at a gate of 0. Queries that read before their
// own token writes have no dP_rr, and may not meet its gate. A thread has
// one key and every so manieth query; tokens by 16, whose sums are in registers: Y goes up through
// them, then x down (split_keys_adjoint.hpp: the same of operands of 16 bits).

#include <algorithm>

#include "chunk_keys_replay.hpp"
#include "gradient_stores.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T, query_reads Reads = query_reads::own_token>
struct chunk_keys_adjoint {
  using config = tile_config<R, T>;
  static constexpr bool has_end = Reads == query_reads::own_token;  // else others see to G
  using C = typename config::C;
  using E = typename config::E;
  static constexpr int tokens = config::tokens, subchunk = config::subchunk,
                       subchunks = tokens / subchunk;
  static constexpr int rows = config::key_side_rows, keys = config::key_side_keys;
  static constexpr int groups = config::threads / keys;
  static constexpr int depth = tuned.value_depth;  // values that are worked on together
  static constexpr int pitch = tokens + 1;         // of dP
  // of what is staged: rows as far apart as a matrix unit likes them
  static constexpr int token_pitch = tokens + config::apart, row_pitch = rows + config::apart;
  // of k, of gates, and of what is staged there first
  static constexpr int side_size = (std::max)(tokens * rows, depth* token_pitch);
  static constexpr int queries = tokens + 1;  // the last one is G
  using scores = product_sums<config, tokens, tokens>;
  using contractions = product_sums<config, tokens, rows>;

  problem_of<R, T> p;
  time_split chunks;
  stored_states<R, T> states, adjoints;
  output_gradient<R, T> d_o{};
  gradient_stores<R, T> gradients{};

  index_t blocks() const { return chunks.slot_count() * p.n.heads * ceil_divide(p.n.keys, keys); }
  int threads() const { return config::threads; }
  static constexpr int blocks_a_multiprocessor = config::blocks_a_multiprocessor;
  // Y at the starts of subchunks, for the queries from there on
  GATESCAN_HD static constexpr int kept(int b) {
    return (b * (queries - subchunk) - subchunk * b * (b - 1) / 2) * rows;
  }
  static constexpr int kept_size = kept(subchunks) + subchunks * subchunk * rows;
  int shared_bytes() const {
    return shared_size<C>(tokens * pitch) + shared_size<C>(queries * rows) +
           2 * shared_size<C>(side_size) + shared_size<C>(tokens * rows) +
           shared_size<C>(kept_size);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t tiles = ceil_divide(p.n.keys, keys);
    index_t rest = block.index();
    const index_t first_key = rest % tiles * keys;
    const index_t head = (rest /= tiles) % p.n.heads;
    const segment chunk = chunks.at(rest / p.n.heads);
    typename config::sums sums{};
    const int column = block.thread() % keys, group = block.thread() / keys;
    const index_t key = first_key + column;
    if (chunk.tokens.count() > 0) {
      const arrays<Block> a(block);
      const auto x = head_operands(p, chunk.batch, head);
      contract(block, x, chunk, head, first_key, a);
      load(block, x, chunk, first_key, a);
      block.sync();
      sweep_forward(column, group, static_cast<int>(chunk.tokens.count()), a);
      sweep_backward(block, column, group, static_cast<int>(chunk.tokens.count()), a);
      finish(block, x, chunk, head, key, column, group, a, sums);
    }
    if (key < p.n.keys) gradients.store_parameters(side::keys, sums, chunk, head, key, group);
  }

 private:
  template <class Block>
  struct arrays {
    using array = decltype(std::declval<Block&>().template shared<C>(1));
    array d_scores;  // [query][token]
    array x;         // [query][row]
    array k, gates;  // [token][row]; k becomes conj(dk) and gates conj(da)
    array d_end;     // [token][row]: conj(G) v
    array y;         // kept(b) + [query][row]; becomes conj(dq) in the query's own block

    GATESCAN_HD explicit arrays(Block& block)
        : d_scores(block.template shared<C>(tokens * pitch)),
          x(block.template shared<C>(queries * rows)),
          k(block.template shared<C>(side_size)),
          gates(block.template shared<C>(side_size)),
          d_end(block.template shared<C>(tokens * rows)),
          y(block.template shared<C>(kept_size)) {}
  };
  GATESCAN_HD static int y_at(int b, int query, int column) {
    return kept(b) + query * rows + column;
  }

  struct value_pair {
    C d_out, v;
  };
  struct state_pair {
    C state, adjoint;
  };

  // dP, S do, conj(G) v and conj(G) S by key: sums over values
  template <class Block>
  GATESCAN_HD void contract(Block& block, const typename config::fields& x, const segment& chunk,
                            index_t head, index_t first_key, const arrays<Block>& a) const {
    const int thread = block.thread();
    const auto head_d_out = d_o.d_out.of_head(chunk.batch, head, 0);
    // staging, where k, gates and what follows will be
    const auto d_outs = a.k, values = a.gates, state = a.d_end,
               adjoint = a.d_end + depth * row_pitch;
    static_assert(2 * depth * row_pitch <= tokens * rows);
    scores d_scores;
    contractions from_start, from_end;
    E both{};
    for (index_t first = 0; first < p.n.values; first += depth) {
      block.sync();
      stage<depth * tokens, config::threads>(
          thread,
          [&](int n) -> value_pair {
            const index_t t = chunk.tokens.clamped(n / depth), j = first + n % depth;
            const bool inside = n / depth < chunk.tokens.count() && j < p.n.values;
            const index_t value = j < p.n.values ? j : 0;
            const C d_out = d_o(x, head_d_out, chunk.batch, head, t, value),
                    v = R::values(x, typename config::cursor{0, t, 0, 0, value}).v;
            return {inside ? d_out : C(0), inside ? v : C(0)};
          },
          [&](int n, const value_pair& of) {
            const int at = n % depth * token_pitch + n / depth;
            d_outs[at] = of.d_out, values[at] = of.v;
          });
      stage<depth * rows, config::threads>(
          thread,
          [&](int n) -> state_pair {
            const int row = n / depth;
            const index_t i = first_key + row % keys, j = first + n % depth;
            const bool inside = i < p.n.keys && j < p.n.values;
            const index_t from =
                row / keys * states.plane() + (inside ? i * p.n.values + j : index_t(0));
            const C g = has_end ? adjoints.state(chunk.slot, head)[from] : C(0),
                    h = states.state(chunk.slot, head)[from];
            return {inside ? h : C(0), !inside ? C(0) : row < keys ? g : -g};
          },
          [&](int n, const state_pair& of) {
            const int at = n % depth * row_pitch + n / depth;
            state[at] = of.state, adjoint[at] = of.adjoint;
          });
      block.sync();
      d_scores.add(block, depth, d_outs, token_pitch, values, token_pitch);
      from_start.add(block, depth, d_outs, token_pitch, state, row_pitch);
      from_end.add(block, depth, values, token_pitch, adjoint, row_pitch);
      if (thread < keys)
        for (int j = 0; j < depth; ++j)
          both = both + number_at<E>(adjoint, j * row_pitch + thread, keys) *
                            number_at<E>(state, j * row_pitch + thread, keys);
    }
    block.sync();
    d_scores.for_each(thread, [&](int r, int s, C sum) {
      a.d_scores[r * pitch + s] = !has_end && r == s ? C(0) : sum;
    });
    from_start.for_each(thread, [&](int r, int row, C sum) { a.y[y_at(0, r, row)] = sum; });
    from_end.for_each(thread, [&](int s, int row, C sum) { a.d_end[s * rows + row] = sum; });
    if (thread < keys) put_number(a.y, y_at(0, tokens, thread), keys, both);
  }

  template <class Block>
  GATESCAN_HD void load(Block& block, const typename config::fields& x, const segment& chunk,
                        index_t first_key, const arrays<Block>& a) const {
    stage<queries * keys, config::threads>(
        block.thread(),
        [&](int n) -> keys_of<E> {
          const int t = n / keys;
          const index_t key = first_key + n % keys;
          const bool inside = t < chunk.tokens.count() && key < p.n.keys;
          const auto token = R::keys(x, typename config::cursor{0, chunk.tokens.clamped(t), 0,
                                                                key < p.n.keys ? key : 0, 0});
          const E one = number_cast<E>(C(1));
          return {inside        ? E(token.q)
                  : t == tokens ? one
                                : E{},
                  inside ? E(token.k) : E{}, inside ? E(token.gate) : one};
        },
        [&](int n, const keys_of<E>& of) {
          const int t = n / keys, at = t * rows + n % keys;
          put_number(a.x, at, keys, of.q);
          if (t == tokens) return;
          put_number(a.k, at, keys, of.k);
          put_number(a.gates, at, keys, of.gate);
        });
  }

  // dP_rt: of a query a number for all keys, of the chunk's end one a key
  template <class Block>
  GATESCAN_HD static E d_score(const arrays<Block>& a, int r, int t, int column) {
    return r == tokens ? number_at<E>(a.d_end, t * rows + column, keys)
                       : number_cast<E>(C(a.d_scores[r * pitch + t]));
  }
  // queries of a group in block b and after it; those after the last token are not there
  template <class F>
  GATESCAN_HD static void for_each_query(int group, int b, int count, F f) {
    for (int r = b * subchunk + group; r < queries; r += groups)
      if (r < count || r == tokens) f(r);
  }

  // the last token whose gate a query meets
  GATESCAN_HD static int last_gate(int r) { return Reads == query_reads::before_gate ? r - 1 : r; }

  // Y at the starts of all blocks
  template <class Block>
  GATESCAN_HD void sweep_forward(int column, int group, int count, const arrays<Block>& a) const {
    for_each_query(group, 0, count, [&](int r) {
      E y = number_at<E>(a.y, y_at(0, r, column), keys);
      for (int b = 1; b <= r / subchunk && b < subchunks; ++b) {
        for (int t = (b - 1) * subchunk; t < b * subchunk; ++t)
          y = decayed(number_at<E>(a.gates, t * rows + column, keys), y) +
              number_at<E>(a.k, t * rows + column, keys) * d_score(a, r, t, column);
        put_number(a.y, y_at(b, r, column), keys, y);
      }
    });
  }

  template <class Block>
  GATESCAN_HD void sweep_backward(Block& block, int column, int group, int count,
                                  const arrays<Block>& a) const {
    for (int b = subchunks - 1; b >= 0; --b) {
      const int first = b * subchunk;
      if (first >= count) continue;
      registers<E, subchunk> dk = {}, da = {};
      for_each_query(group, b, count, [&](int r) {
        registers<E, subchunk> y;
        E number = number_at<E>(a.y, y_at(b, r, column), keys);
        for (int n = 0; n < subchunk; ++n) {
          y[n] = number;
          if (first + n > last_gate(r)) continue;
          const int at = (first + n) * rows + column;
          number = decayed(number_at<E>(a.gates, at, keys), number) +
                   number_at<E>(a.k, at, keys) * d_score(a, r, first + n, column);
        }
        if (r / subchunk == b) put_number(a.y, y_at(b, r, column), keys, number);
        number = number_at<E>(a.x, r * rows + column, keys);
        for (int n = subchunk - 1; n >= 0; --n) {
          if (first + n > last_gate(r)) continue;
          da[n] = da[n] + number * y[n];
          dk[n] = dk[n] + number * d_score(a, r, first + n, column);
          number = decayed(number_at<E>(a.gates, (first + n) * rows + column, keys), number);
        }
        put_number(a.x, r * rows + column, keys, number);
      });
      for (int g = 0; g < groups; ++g) {  // in order; this block's keys and gates have been used
        block.sync();
        if (g != group) continue;
        for (int n = 0; n < subchunk; ++n) {
          const int at = (first + n) * rows + column;
          if (g > 0) {
            dk[n] = dk[n] + number_at<E>(a.k, at, keys);
            da[n] = da[n] + number_at<E>(a.gates, at, keys);
          }
          put_number(a.k, at, keys, dk[n]);
          put_number(a.gates, at, keys, da[n]);
        }
      }
    }
  }

  template <class Block>
  GATESCAN_HD void finish(Block& block, const typename config::fields& x, const segment& chunk,
                          index_t head, index_t key, int column, int group, const arrays<Block>& a,
                          typename config::sums& sums) const {
    block.sync();
    const int count = static_cast<int>(chunk.tokens.count());
    const auto gradient = [&](int t) {
      return keys_of<E>{conj(number_at<E>(a.y, y_at(t / subchunk, t, column), keys)),
                        conj(number_at<E>(a.k, t * rows + column, keys)),
                        conj(number_at<E>(a.gates, t * rows + column, keys))};
    };
    const auto all_finite = [](const keys_of<E>& g) {
      return is_finite(g.q) && is_finite(g.k) && is_finite(g.gate);
    };
    bool non_finite = false;
    for (int t = group; t < count && key < p.n.keys; t += groups)
      non_finite = non_finite || !all_finite(gradient(t));
    if (block.any(non_finite)) {
      if (group == 0 && key < p.n.keys) {
        // what the fast form has used up: states, and sums of the three gradients
        const auto d_q = a.d_end, d_k = a.d_scores, d_gate = a.d_scores + tokens * rows;
        const replay_memory<typename arrays<Block>::array> memory{a.x, d_q, d_k, d_gate};
        static_assert(2 * tokens * rows <= tokens * pitch);
        replay_keys<R, T, Reads>(p, x, chunk, head, key, states, adjoints, d_o, memory, rows,
                                 column, keys);
        // what was finite stays as it is: a NaN changes no bit of what does not depend on it
        for (int t = 0; t < count; ++t) {
          const int at = t * rows + column;
          const keys_of<E> g = gradient(t);
          if (!is_finite(g.q))
            put_number(a.y, y_at(t / subchunk, t, column), keys, conj(number_at<E>(d_q, at, keys)));
          if (!is_finite(g.k)) put_number(a.k, at, keys, conj(number_at<E>(d_k, at, keys)));
          if (!is_finite(g.gate))
            put_number(a.gates, at, keys, conj(number_at<E>(d_gate, at, keys)));
        }
      }
      block.sync();
    }
    for (int t = group; t < count && key < p.n.keys; t += groups) {
      const index_t time = chunk.tokens.first + t;
      R::keys_adjoint(x, sums, typename config::cursor{0, time, 0, key, 0}, gradient(t));
      gradients.store_token(side::keys, sums, chunk, head, time, key);
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
