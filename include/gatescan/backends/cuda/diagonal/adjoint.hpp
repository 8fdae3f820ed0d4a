#pragma once
// Backward through one run of tokens: states and gates again from the state before the run, then
// the same scan against time. And how the gradient of the state gets to the ends of segments.

#include "channel.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

// A run of tokens in shared memory: what `values` returned, o, its gradient, gates and states.
template <class Share, class Block>
struct run_room {
  using values_type = typename Share::values_type;
  using E = typename Share::E;
  decltype(Share::template room<values_type>(std::declval<Block&>(), channel_map{})) w;
  decltype(Share::template room<E>(std::declval<Block&>(), channel_map{})) o, d_o;
  decltype(Share::key_room(std::declval<Block&>())) gates, states;
  list<E, Share::thread_keys> before;  // the states before the run

  GATESCAN_HD run_room(Block& block, const channel_map& map)
      : w(Share::template room<values_type>(block, map)),
        o(Share::template room<E>(block, map)),
        d_o(Share::template room<E>(block, map)),
        gates(Share::key_room(block)),
        states(Share::key_room(block)) {}
  GATESCAN_HD E state_before(int i, int n) const { return i > 0 ? states.at(i - 1, n) : before[n]; }
};

// What the programs of a backward pass share: the states at the starts of runs, and o.
template <class R, class T, bool IsComplex, int Keys>
struct adjoint_task : task<R, T, IsComplex, Keys> {
  using base = task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using accumulators = typename R::template fields<accumulator<C>>;
  operand<const S> d_out;
  table<E> kept;   // states at the starts of runs
  table<E> parts;  // of o, with several tiles of keys

  GATESCAN_HD auto output_gradient(const operand<const S>& here_d_out, index_t t) const {
    using output = typename share::output_type;
    if (!here_d_out.given) return make<output>::from(0);
    return load_number<output>(here_d_out, t * here_d_out.time);
  }
  GATESCAN_HD index_t row(const segment& s, index_t t) const {
    return s.batch * this->cut.time + t;
  }
  /// Gates and states again, and o. With several tiles of keys, o is the sum of the parts that each
  /// left.
  template <bool Full, class Block, class Room>
  GATESCAN_HD void states_again(Block& block, Room& room, const share& here, const lane& l,
                                const segment& s, index_t t, int count) const {
    constexpr int run = share::run;
    here.template values<Full>(block, t, count, room.w);
    list<E, Keys> h;
    unrolled<Keys>([&](int n) {
      h[n] = make<E>::from(0);
      if (here.holds(n)) h[n] = kept.load(this->cut.run_row(s, t, run), here.key(n), l.channel);
      room.before[n] = h[n];
    });
    for (int i = 0; i < run; ++i) {
      if (!Full && i >= count) break;
      const typename share::values_type w = room.w.at(i);
      E o = make<E>::from(0);
      unrolled<Keys>([&](int n) {
        if (!here.holds(n)) return;
        const auto at = here.at(t + i, n);
        const E a = R::gate(here.x, at, w), add = here.input(at, w);
        h[n] = is_zero(a) ? add : fma(a, h[n], add);
        room.gates.put(i, n, a);
        room.states.put(i, n, h[n]);
        if constexpr (!share::simple_output) o = here.read_out(at, h[n], o);
      });
      if constexpr (!share::simple_output) {
        if (parts.first != nullptr) continue;
        o = here.over_lanes(block, o);
        if (here.owns(i)) room.o.put(i, o);
      }
    }
  }
  /// The same, and the gradient of o. Not Fast: less code.
  template <bool Fast, class Block, class Room>
  GATESCAN_HD void run_once_more(Block& block, Room& room, const share& here, const lane& l,
                                 const segment& s, index_t t, int count) const {
    if (Fast && count == share::run)
      states_again<Fast>(block, room, here, l, s, t, count);
    else
      states_again<false>(block, room, here, l, s, t, count);
    here.template for_own_tokens<false>(count, [&](int i, bool there) {
      if (!there) return;
      if (!share::simple_output && parts.first != nullptr) {
        E sum = parts.load(row(s, t) + i, 0, l.channel);
        for (index_t tile = 1; tile < parts.keys; ++tile)
          sum = sum + parts.load(row(s, t) + i, tile, l.channel);
        room.o.put(i, sum);
      }
      accumulators ignored{};
      typename share::values_type also_ignored{};
      room.d_o.put(
          i, of_output(here, l, s, t + i, room.w.at(i), o_of(room, i), ignored, also_ignored));
    });
    share::meet(block);
  }
  template <class Room>
  GATESCAN_HD static E o_of(const Room& room, int i) {
    if constexpr (share::simple_output)
      return make<E>::from(0);
    else
      return room.o.at(i);
  }
  /// The gradient of o at a token.
  template <class D, class Values>
  GATESCAN_HD E of_output(const share& here, const lane& l, const segment& s, index_t t,
                          const Values& w, E o, const D& d, Values& d_w) const {
    return R::output_adjoint(here.x, d, here.at(t), w, d_w, o,
                             output_gradient(d_out.of_head(s.batch, l.head, l.value), t));
  }

  static int room_bytes(const channel_map& map) {
    return share::template room_bytes<typename share::values_type>(map) +
           2 * share::template room_bytes<E>(map) + 2 * share::key_room_bytes(map);
  }
  // f(t, count) for the runs of a segment, the last one first
  template <class F>
  GATESCAN_HD static void for_each_run_backwards(const segment& s, F&& f) {
    if (s.first == s.last) return;
    for (index_t i = (s.last - s.first - 1) / share::run; i >= 0; --i) {
      const index_t t = s.first + i * share::run, left = s.last - t;
      f(t, static_cast<int>(left < share::run ? left : share::run));
    }
  }
  // The gradient of the state before a segment from the one after it.
  template <bool Fast, class Block, class Room>
  GATESCAN_HD void retreat(Block& block, Room& room, const share& here, const lane& l,
                           const segment& s, list<E, Keys>& g) const {
    for_each_run_backwards(s, [&](index_t t, int count) {
      run_once_more<Fast>(block, room, here, l, s, t, count);
      unrolled<Keys>([&](int n) {
        if (!here.holds(n)) return;
        for (int i = count - 1; i >= 0; --i) {
          const E a = room.gates.at(i, n),
                  to_state = query_gradient(here, t + i, n, room.d_o.at(i));
          g[n] = is_zero(a) ? make<E>::from(0) : conj(a) * (g[n] + to_state);
        }
      });
    });
  }
  GATESCAN_HD static E query_gradient(const share& here, index_t t, int n, E d_o) {
    if constexpr (share::unit_keys)
      return d_o;
    else
      return conj(E(R::keys(here.x, here.at(t, n)).q)) * d_o;
  }
};

// The gradient of every segment's incoming state, had its last state none.
template <class R, class T, bool IsComplex, int Keys>
struct summarise_back : adjoint_task<R, T, IsComplex, Keys> {
  using base = adjoint_task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using E = typename base::E;
  table<typename base::D> gradients;

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }
  int shared_bytes() const { return base::room_bytes(this->map); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(block, [&](const segment& s, const lane& l, const share& here) {
      run_room<share, Block> room(block, this->map);
      list<E, Keys> g;
      for (int n = 0; n < Keys; ++n) g[n] = make<E>::from(0);
      this->template retreat<true>(block, room, here, l, s, g);
      list<typename base::D, Keys> end;
      for (int n = 0; n < Keys; ++n) end[n] = make<typename base::D>::from(g[n]);
      this->store_row(gradients, s.slot, l, here, end);
    });
  }
};

// The gradient of the state at every segment's end takes the place of that.
template <class R, class T, bool IsComplex, int Keys>
struct carry_back : adjoint_task<R, T, IsComplex, Keys> {
  using base = adjoint_task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using C = typename base::C;
  using E = typename base::E;
  using D = typename base::D;
  using W = typename base::W;
  table<W> products;
  table<D> gradients;
  operand<const C> final_state;  // its gradient

  index_t blocks() const { return this->blocks_for(this->cut.sequences); }
  int shared_bytes() const { return base::room_bytes(this->map); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_sequence(block, [&](index_t sequence, const lane& l, const share& here) {
      run_room<share, Block> room(block, this->map);
      list<D, Keys> g;
      this->load_state(final_state, sequence, l, here, g);
      for (index_t i = this->cut.used_slots(sequence) - 1; i >= 0; --i) {
        const index_t slot = this->cut.first_slot(sequence) + i;
        list<W, Keys> product;
        list<D, Keys> start;
        this->load_row(products, slot, l, here, product);
        this->load_row(gradients, slot, l, here, start);
        this->store_row(gradients, slot, l, here, g);
        bool fine = true;
        for (int n = 0; n < Keys; ++n) {
          start[n] = fma(conj(make<D>::from(product[n])), g[n], start[n]);
          fine = fine && is_finite(make<E>::from(start[n]));
        }
        if (share::any_in_warp(block, !fine)) {  // Inf or NaN: through the tokens
          list<E, Keys> e;
          for (int n = 0; n < Keys; ++n) e[n] = make<E>::from(g[n]);
          this->template retreat<false>(block, room, here, l, this->cut.of(sequence, i), e);
          for (int n = 0; n < Keys; ++n)
            if (!is_finite(make<E>::from(start[n]))) start[n] = make<D>::from(e[n]);
        }
        for (int n = 0; n < Keys; ++n) g[n] = start[n];
      }
    });
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
