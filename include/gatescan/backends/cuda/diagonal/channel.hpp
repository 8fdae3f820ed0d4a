#pragma once
// A thread's keys of one channel, walked through a run of tokens: as the recurrence stands, or as a
// local sum beside the decayed incoming state, which is carried from run to run with more digits.

#include <type_traits>
#include <utility>

#include "../../../core/concepts.hpp"
#include "../../../core/problem.hpp"
#include "lanes.hpp"
#include "layout.hpp"
#include "numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

template <class R, class T, bool IsComplex, int Keys>
struct channel {
  using S = storage_t<T>;
  using C = state_t<T>;
  using E = number<C, IsComplex>;
  using W = carrier<C, IsComplex>;
  using spot = place<C, IsComplex>;
  using operands = typename R::template fields<operand<const S>>;
  using values_type =
      decltype(R::values(std::declval<const operands&>(), std::declval<const spot&>()));
  using output_type =
      decltype(R::output(std::declval<const operands&>(), std::declval<const spot&>(),
                         std::declval<const values_type&>(), E{}));
  static constexpr int thread_keys = Keys;
  static constexpr bool unit_keys = has_unit_keys<R>();
  static constexpr bool simple_output =
      std::is_base_of_v<plain_output, R>;  // its adjoint does not ask for o
  // tokens that go together: as many as registers, and shared memory, hold
  static constexpr int run = Keys == 1 ? 64 / static_cast<int>(sizeof(E)) : sizeof(E) > 8 ? 4 : 8;

  operands x;  // of this channel: only the strides of time and key count
  index_t keys, first_key;
  int lanes, part;  // threads of the channel, and which of them this is

  GATESCAN_HD channel(const operands& all, const lane& l, index_t batch, const channel_map& map)
      : x(all), keys(map.keys), first_key(l.key), lanes(map.lanes), part(l.part) {
    R::operands([&](const char*, const axes&, presence, const auto& from,
                    auto& to) { to = from.of_head(batch, l.head, l.value); },
                all, x);
  }

  GATESCAN_HD bool holds(int n) const { return first_key + n * lanes < keys; }
  GATESCAN_HD index_t key(int n) const { return unit_keys ? 0 : first_key + n * lanes; }
  GATESCAN_HD spot at(index_t t, int n) const { return {0, t, 0, key(n), 0}; }
  GATESCAN_HD spot at(index_t t) const { return {0, t, 0, 0, 0}; }
  GATESCAN_HD auto input(const spot& here, const values_type& w) const {
    if constexpr (unit_keys)
      return w.v;
    else
      return R::keys(x, here).k * w.v;
  }
  GATESCAN_HD E read_out(const spot& here, E h, E sum) const {
    if constexpr (unit_keys)
      return sum + h;
    else
      return fma(E(R::keys(x, here).q), h, sum);
  }

  // ---- what the lanes of a channel need only once: each does it for some of the tokens

  template <class V, class Block>
  GATESCAN_HD static auto tokens(Block& block, const channel_map& map) {
    if constexpr (unit_keys)
      return own_tokens<V, run>{};
    else
      return room<V>(block, map);
  }
  template <class V>
  static int token_bytes(const channel_map& map) {
    return unit_keys ? 0 : room_bytes<V>(map);
  }
  template <class V, class Block>
  GATESCAN_HD static auto room(Block& block, const channel_map& map) {
    const index_t width = block.threads() / map.lanes;
    const auto array = block.template shared<V>(run * width);
    return shared_tokens<V, std::remove_const_t<decltype(array)>>{array, block.thread() / map.lanes,
                                                                  width};
  }
  template <class V>
  static int room_bytes(const channel_map& map) {
    return shared_size<V>(run * (map.block_threads / map.lanes));
  }
  template <class Block>
  GATESCAN_HD static auto key_room(Block& block) {
    const auto array = block.template shared<E>(run * Keys * block.threads());
    return shared_key_tokens<E, std::remove_const_t<decltype(array)>, Keys>{array, block.thread(),
                                                                            block.threads()};
  }
  static int key_room_bytes(const channel_map& map) {
    return shared_size<E>(run * Keys * map.block_threads);
  }
  /// f(i, whether there is such a token) for the tokens of a run that are this thread's. Every lane
  /// of a warp calls it as often.
  template <bool Full, class F>
  GATESCAN_HD void for_own_tokens(int count, F&& f) const {
    if constexpr (unit_keys) {
      for (int i = 0; i < run; ++i)
        if (Full || i < count) f(i, true);
    } else {
      for (int i = part; i - part < count; i += lanes) f(i, i < count);
    }
  }
  GATESCAN_HD bool owns(int i) const { return unit_keys || (i & (lanes - 1)) == part; }
  template <class Block>
  GATESCAN_HD static void meet(Block& block) {
    if constexpr (!unit_keys) block.sync_warp();
  }
  template <bool Full, class Block, class Values>
  GATESCAN_HD void values(Block& block, index_t t, int count, Values& w) const {
    meet(block);  // the last run's are read
    for_own_tokens<Full>(count, [&](int i, bool there) {
      if (there) w.put(i, R::values(x, at(t + i)));
    });
    meet(block);
  }

  /// The state of key n after token t.
  GATESCAN_HD E next(index_t t, int n, const values_type& w, E h) const {
    const spot here = at(t, n);
    const E a = R::gate(x, here, w), in = input(here, w);
    return is_zero(a) ? in : fma(a, h, in);
  }
  /// f(i) for the tokens of a run. Where a channel's keys are shared out, what a token has is not
  /// in registers, and the loop stays one.
  template <bool Full, class F>
  GATESCAN_HD static void for_tokens(int count, F&& f) {
    if constexpr (unit_keys) {
      unrolled<run>([&](int i) {
        if (Full || i < count) f(i);
      });
    } else {
      for (int i = 0; i < (Full ? run : count); ++i) f(i);
    }
  }
  /// States after the tokens as the recurrence stands; put(i, o) gets o of token i.
  template <bool Full, bool Outputs, class Block, class Values, class Put>
  GATESCAN_HD void exactly(Block& block, index_t t, int count, const Values& values_of,
                           list<W, Keys>& h, Put&& put) const {
    list<E, Keys> e;
    for (int n = 0; n < Keys; ++n) e[n] = make<E>::from(h[n]);
    for_tokens<Full>(count, [&](int i) {
      const values_type w = values_of.at(i);
      E o = make<E>::from(0);
      unrolled<Keys>([&](int n) {
        if (!holds(n)) return;
        e[n] = next(t + i, n, w, e[n]);
        if constexpr (Outputs) o = read_out(at(t + i, n), e[n], o);
      });
      if constexpr (Outputs) put(i, over_lanes(block, o));
    });
    for (int n = 0; n < Keys; ++n) h[n] = make<W>::from(e[n]);
  }

  /// The same from a local sum: h = (product of gates) h_in + local. NaN in what is returned tells
  /// of Inf or NaN in the states. visit(n, product, local, cut) at the end.
  template <bool Full, bool Outputs, class Values, class Visit>
  GATESCAN_HD void local(index_t t, int count, const Values& w, const list<W, Keys>& h,
                         list<E, run>& o, Visit&& visit) const {
    unrolled<Keys>([&](int n) {
      if (!holds(n)) return;
      E in = make<E>::from(h[n]), product = make<E>::from(1), sum = make<E>::from(0);
      bool cut = false;  // by a reset: what came before does not count, Inf and NaN neither
      unrolled<run>([&](int i) {
        if (!Full && i >= count) return;
        const spot here = at(t + i, n);
        const values_type v = w.at(i);
        const E a = R::gate(x, here, v), add = input(here, v);
        const bool reset = is_zero(a);
        sum = reset ? add : fma(a, sum, add);
        product = reset ? make<E>::from(0) : fixed_product(product, a);
        cut = cut || reset;
        if constexpr (Outputs) {
          in = reset ? make<E>::from(0) : in;
          o[i] = read_out(here, fma(product, in, sum), o[i]);
        }
      });
      visit(n, product, sum, cut);
    });
  }

  /// States of all keys of the tile after `count` tokens and, if asked for, o of the tokens that
  /// are this thread's. Where the fast form gives Inf or NaN, the recurrence as it stands: there a
  /// reset is exact, and nothing overflows that the definition does not overflow.
  template <bool Full, bool Outputs, class Block, class Values, class Sums>
  GATESCAN_HD void advance(Block& block, bool steps, index_t t, int count, const Values& w,
                           list<W, Keys>& h, Sums& sums) const {
    if (steps) {
      exactly<Full, Outputs>(block, t, count, w, h, [&](int i, E o) {
        if (owns(i)) sums.put(i, o);
      });
      return;
    }
    list<W, Keys> end;
    list<E, run> o;
    for (int n = 0; n < Keys; ++n) end[n] = h[n];
    for (int i = 0; i < run; ++i) o[i] = make<E>::from(0);
    C check = 0;
    local<Full, Outputs>(t, count, w, h, o, [&](int n, E product, E sum, bool cut) {
      const W from = cut ? make<W>::from(0) : h[n];
      end[n] = fma(make<W>::from(product), from, make<W>::from(sum));
      check = check + zero_if_finite(make<E>::from(end[n]));
    });
    if constexpr (Outputs)
      unrolled<run>([&](int i) {
        o[i] = over_lanes(block, o[i]);
        check = check + zero_if_finite(o[i]);
        if ((Full || i < count) && owns(i)) sums.put(i, o[i]);
      });
    bool again = !(check == C(0));
    if (Outputs && lanes > 1) again = any_in_warp(block, again);
    if (again) {
      list<W, Keys> exact;
      for (int n = 0; n < Keys; ++n) exact[n] = h[n];
      exactly<false, Outputs>(block, t, count, w, exact, [&](int i, E exact_o) {
        if (owns(i) && !is_finite(sums.at(i))) sums.put(i, exact_o);
      });
      for (int n = 0; n < Keys; ++n)
        if (holds(n) && !is_finite(make<E>::from(end[n]))) end[n] = exact[n];
    }
    for (int n = 0; n < Keys; ++n) h[n] = end[n];
  }
  // o is the sum over the channel's lanes, the same bits in each.
  template <class Block>
  GATESCAN_HD E over_lanes(Block& block, E o) const {
    for (int m = 1; m < lanes; m *= 2) o = o + exchange(block, o, m);
    return o;
  }
  template <class Block>
  GATESCAN_HD static bool any_in_warp(Block& block, bool b) {
    float found = b ? 1.0f : 0.0f;
    for (int m = 1; m < warp_threads; m *= 2) found = found + block.shuffle_xor(found, m);
    return found > 0;
  }
  template <class Block>
  GATESCAN_HD static C exchange(Block& block, C x, int m) {
    return block.shuffle_xor(x, m);
  }
  template <class Block>
  GATESCAN_HD static cplx<C> exchange(Block& block, cplx<C> x, int m) {
    return {block.shuffle_xor(x.re, m), block.shuffle_xor(x.im, m)};
  }

  /// f.operator()<Full>(first token, count) for the runs of [first, last).
  template <class F>
  GATESCAN_HD static void for_each_run(index_t first, index_t last, F&& f) {
    for (index_t t = first; t < last; t += run) {
      if (last - t >= run)
        f.template operator()<true>(t, run);
      else
        f.template operator()<false>(t, static_cast<int>(last - t));
    }
  }
};

// What the programs of a problem share.
template <class R, class T, bool IsComplex, int Keys>
struct task {
  using share = channel<R, T, IsComplex, Keys>;
  using C = typename share::C;
  using E = typename share::E;
  using W = typename share::W;
  using D = number<double, IsComplex>;
  using S = typename share::S;

  problem_of<R, T> p;
  channel_map map;
  time_cut cut;
  bool steps = false;  // token by token, as the recurrence stands

  int threads() const { return map.block_threads; }
  int shared_bytes() const { return 0; }
  index_t blocks_for(index_t slot_count) const { return slot_count * map.blocks_a_slot(); }
  /// f(segment, lane, share): a block has a segment of some channels.
  template <class Block, class F>
  GATESCAN_HD void of_segment(Block& block, F&& f) const {
    const index_t a_slot = map.blocks_a_slot();
    const segment s = cut.at(block.index() / a_slot);
    const lane l = map.at(block.index() % a_slot, block.thread());
    f(s, l, share(p.x, l, s.batch, map));
  }
  /// f(sequence, lane, share): a block has a sequence of some channels.
  template <class Block, class F>
  GATESCAN_HD void of_sequence(Block& block, F&& f) const {
    const index_t a_slot = map.blocks_a_slot(), sequence = block.index() / a_slot;
    const lane l = map.at(block.index() % a_slot, block.thread());
    f(sequence, l, share(p.x, l, cut.batch_of(sequence), map));
  }

  template <class Operand>
  GATESCAN_HD static index_t state_offset(const Operand& x, index_t sequence, const lane& l,
                                          index_t key) {
    return x.offset(sequence, 0, l.head) + key * x.key + l.value * x.value;
  }
  template <class Operand, class N>
  GATESCAN_HD void load_state(const Operand& from, index_t sequence, const lane& l,
                              const share& here, list<N, Keys>& h) const {
    for (int n = 0; n < Keys; ++n) {
      h[n] = make<N>::from(0);
      if (from.given && here.holds(n))
        h[n] = make<N>::from(load_number<E>(from, state_offset(from, sequence, l, here.key(n))));
    }
  }
  template <class N>
  GATESCAN_HD void load_row(const table<N>& from, index_t row, const lane& l, const share& here,
                            list<N, Keys>& h) const {
    for (int n = 0; n < Keys; ++n) {
      h[n] = make<N>::from(0);
      if (here.holds(n)) h[n] = from.load(row, here.key(n), l.channel);
    }
  }
  template <class Table, class N>
  GATESCAN_HD void store_row(const Table& to, index_t row, const lane& l, const share& here,
                             const N& h) const {
    for (int n = 0; n < Keys; ++n)
      if (l.active && here.holds(n)) to.store(row, here.key(n), l.channel, h[n]);
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
