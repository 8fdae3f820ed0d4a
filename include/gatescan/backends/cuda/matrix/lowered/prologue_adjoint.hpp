#pragma once
// Backward, last: from the gradients of rows to those of a recurrence's operands. First a warp a
// token sums what keys and values add to the gradient of its token stage, then threads of keys and
// threads of values call the adjoints, as the last passes of other matrix states do.

#include "../gradient_stores.hpp"
#include "../output_gradient.hpp"
#include "prologue.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// What backward leaves in rows. With a corrected transition p is a second reader, with a minus:
/// of_p.q is the negative of its gradient, and what it takes from those of k and the gates may be
/// left apart too.
template <class C>
struct row_gradients {
  token_rows<C> of, of_p;

  void take(arena& memory, const sizes& n) {
    take_keys(memory, n, of);
    of.v = take_value_rows<C>(memory, n);
  }
  void take_of_p(arena& memory, const sizes& n, bool apart) {
    if (apart)
      take_keys(memory, n, of_p);
    else
      of_p.q = take_key_rows<C>(memory, n);
  }
  /// At a key of a token's rows; own: of the key under which its query reads its own value.
  template <class R>
  GATESCAN_HD key_numbers<R, C> keys(const token_place& place, index_t keys, index_t key,
                                     C own) const {
    const index_t at = place.row * keys + key, at_gate = place.gate * keys + key;
    const C q = of.q[place.query * keys + key], k = less(of.k, of_p.k, at),
            gate = less(of.gate, of_p.gate, at_gate);
    if constexpr (R::form.moves == transition::low_rank)
      return {q, k, gate, -of_p.q[at_gate], less(of.k, of_p.k, at_gate)};
    else if constexpr (R::form.moves == transition::corrected)
      return {q, k, gate, -of_p.q[at_gate]};
    else if constexpr (row_layout<R>::exclusive)
      return {q, k, gate, own};
    else
      return {q, k, gate};
  }

 private:
  static void take_keys(arena& memory, const sizes& n, token_rows<C>& rows) {
    rows.q = take_key_rows<C>(memory, n), rows.k = take_key_rows<C>(memory, n);
    rows.gate = take_key_rows<C>(memory, n);
  }
  GATESCAN_HD static C less(const C* all, const C* taken, index_t at) {
    return taken != nullptr ? all[at] - taken[at] : all[at];
  }
};

template <class R, class T>
struct prologue_adjoint {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using sums_t = typename config::sums;
  using stage = stages<R>;
  using token = stage_of<R, T>;
  static constexpr bool staged = has_token<R>, exclusive = row_layout<R>::exclusive;
  static constexpr int warps = config::threads / warp_threads;
  static constexpr int numbers = staged ? static_cast<int>(sizeof(token) / sizeof(C)) : 0;

  problem_of<R, T> p;
  row_layout<R> layout;
  time_split chunks;
  operand<const typename config::S> d_out{};
  outputs_of_rows<R, C> o{};
  const C* d_o = nullptr;  // rows
  row_gradients<C> rows{};
  gradient_stores<R, T> gradients{};

  index_t blocks() const { return chunks.slot_count() * p.n.heads; }
  int threads() const { return config::threads; }
  int shared_bytes() const {
    return 2 * shared_size<C>(config::tokens * numbers) +
           shared_size<C>(exclusive ? config::tokens : 0);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t head = block.index() % p.n.heads;
    const segment chunk = chunks.at(block.index() / p.n.heads);
    const auto x = head_operands(p, chunk.batch, head);
    const auto stages_of = block.template shared<C>(config::tokens * numbers),
               gradients_of = block.template shared<C>(config::tokens * numbers),
               d_own_scores = block.template shared<C>(exclusive ? config::tokens : 0);
    const int count = static_cast<int>(chunk.tokens.count()), thread = block.thread();
    if constexpr (staged || exclusive) {
      for (int t = thread / warp_threads; t < count; t += warps)
        collect(block, x, chunk, head, t, stages_of, gradients_of, d_own_scores);
      block.sync();
    }
    const int group = thread / config::key_side_keys;
    for (index_t key = thread % config::key_side_keys; key < p.n.keys;
         key += config::key_side_keys) {
      sums_t sums{};
      for (int t = group; t < count; t += gradient_stores<R, T>::key_groups) {
        const index_t time = chunk.tokens.first + t;
        const token of = get(stages_of, t);
        token dropped{};
        const typename config::cursor at{0, time, 0, key, 0};
        const C d_own_score = exclusive ? C(d_own_scores[t]) : C(0);
        differentiate_key(x, layout.place(chunk.sequence, time, head), at, of, d_own_score, dropped,
                          sums);
        if constexpr (staged)
          stage::token_adjoint(x, sums, token_adjoint_cursor<C>{at, key == 0}, of,
                               get(gradients_of, t));
        gradients.store_token(side::keys, sums, chunk, head, time, key);
      }
      gradients.store_parameters(side::keys, sums, chunk, head, key, group);
    }
    const int value_group = thread / config::values;
    for (index_t value = thread % config::values; value < p.n.values; value += config::values) {
      sums_t sums{};
      for (int t = value_group; t < count; t += gradient_stores<R, T>::value_groups) {
        const index_t time = chunk.tokens.first + t;
        token dropped{};
        differentiate_value(x, chunk, head, time, value, get(stages_of, t), dropped, sums);
        gradients.store_token(side::values, sums, chunk, head, time, value);
      }
      gradients.store_parameters(side::values, sums, chunk, head, value, value_group);
    }
  }

 private:
  GATESCAN_HD void differentiate_key(const typename config::fields& x, const token_place& place,
                                     const typename config::cursor& at, const token& of,
                                     C d_own_score, token& d_token, const sums_t& sums) const {
    C own = 0, more_q = 0;
    if constexpr (exclusive) {
      const auto keys = stage::keys(x, at, of);
      own = d_own_score * keys.q, more_q = d_own_score * keys.own;
    }
    auto g = rows.template keys<R>(place, p.n.keys, at.key, own);
    if constexpr (exclusive) g.q = g.q + more_q;
    stage::keys_adjoint(x, sums, at, of, d_token, g);
  }
  GATESCAN_HD void differentiate_value(const typename config::fields& x, const segment& chunk,
                                       index_t head, index_t time, index_t value, const token& of,
                                       token& d_token, const sums_t& sums) const {
    const typename config::cursor at{0, time, 0, 0, value};
    const token_place place = layout.place(chunk.sequence, time, head);
    const auto w = stage::values(x, at, of);
    std::remove_const_t<decltype(w)> d_w{};
    const C g = d_out.given ? at(d_out.of_head(chunk.batch, head, 0)) : C(0);
    C read = 0;
    if constexpr (output_gradient<R, T>::needs_o) {
      read = o.at(layout, place, value, w.v);
      if constexpr (R::form.normaliser) read = read / o.divisor(layout, place, x, at, of);
    }
    stage::output_adjoint(x, sums, at, of, d_token, w, d_w, read, g);
    d_w.v = d_w.v + rows.of.v[place.row * layout.values() + value];
    if constexpr (exclusive)
      d_w.v = fma(o.own_scores[place.token], d_o[place.query * layout.values() + value], d_w.v);
    stage::values_adjoint(x, sums, at, of, d_token, w, d_w);
  }

  // a token's stage, the whole of its gradient, and that of q own
  template <class Block, class Array>
  GATESCAN_HD void collect(Block& block, const typename config::fields& x, const segment& chunk,
                           index_t head, int t, const Array& stages_of, const Array& gradients_of,
                           const Array& d_own_scores) const {
    const index_t time = chunk.tokens.first + t;
    const token_place place = layout.place(chunk.sequence, time, head);
    const int lane = block.thread() % warp_threads;
    const token_cursor<C, Block> at{block, time, p.n.keys};
    const token of = stage::token(x, at, p.weights.at(chunk.batch, time, head));
    C d_own_score = 0;
    if constexpr (exclusive) {
      for (index_t value = lane; value < p.n.values; value += warp_threads) {
        const typename config::cursor here{0, time, 0, 0, value};
        d_own_score = fma(d_o[place.query * layout.values() + value],
                          C(stage::values(x, here, of).v), d_own_score);
      }
      d_own_score = add_over_lanes<C>(block, d_own_score, warp_threads);
      if (lane == 0) d_own_scores[t] = d_own_score;
    }
    if constexpr (staged) {
      token d_token{};
      for (index_t key = lane; key < p.n.keys; key += warp_threads)
        differentiate_key(x, place, at.at_key(key), of, d_own_score, d_token, sums_t{});
      for (index_t value = lane; value < p.n.values; value += warp_threads)
        differentiate_value(x, chunk, head, time, value, of, d_token, sums_t{});
      put(stages_of, t, of, lane == 0);
      put(gradients_of, t, add_over_lanes<C>(block, d_token, warp_threads), lane == 0);
    }
  }
  struct numbers_of {
    registers<C, (numbers > 0 ? numbers : 1)> of;
  };
  template <class Array>
  GATESCAN_HD static void put(const Array& to, int t, const token& x, bool mine) {
    const auto all = bits_as<numbers_of>(x);
    for (int i = 0; mine && i < numbers; ++i) to[t * numbers + i] = all.of[i];
  }
  template <class Array>
  GATESCAN_HD static token get(const Array& from, int t) {
    if constexpr (staged) {
      numbers_of all;
      for (int i = 0; i < numbers; ++i) all.of[i] = from[t * numbers + i];
      return bits_as<token>(all);
    } else {
      return {};
    }
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
