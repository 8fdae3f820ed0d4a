#pragma once
// Forward programs of a diagonal recurrence. In time order: reduce every segment to (product of
// gates, local state), carry the state through the segments, run each from its exact state.

#include "channel.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace diagonal {

// Product of gates and local state of every segment.
template <class R, class T, bool IsComplex, int Keys>
struct summarise : task<R, T, IsComplex, Keys> {
  using base = task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using E = typename base::E;
  using W = typename base::W;
  table<W> products, states;

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }
  int shared_bytes() const {
    return share::template token_bytes<typename share::values_type>(this->map);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(block, [&](const segment& s, const lane& l, const share& here) {
      auto w = share::template tokens<typename share::values_type>(block, this->map);
      list<W, Keys> product, state;
      for (int n = 0; n < Keys; ++n) product[n] = make<W>::from(1), state[n] = make<W>::from(0);
      share::for_each_run(s.first, s.last, [&]<bool Full>(index_t t, int count) {
        list<E, share::run> o;
        here.template values<Full>(block, t, count, w);
        here.template local<Full, false>(
            t, count, w, state, o, [&](int n, E run_product, E run_sum, bool reset) {
              const W by = make<W>::from(run_product), sum = make<W>::from(run_sum);
              state[n] = reset ? sum : fma(by, state[n], sum);
              product[n] = reset ? make<W>::from(0) : product[n] * by;
            });
      });
      this->store_row(products, s.slot, l, here, product);
      this->store_row(states, s.slot, l, here, state);
    });
  }
};

// The state at the start of every segment takes the place of its local state.
template <class R, class T, bool IsComplex, int Keys>
struct carry : task<R, T, IsComplex, Keys> {
  using base = task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using E = typename base::E;
  using W = typename base::W;
  table<W> products, states;

  index_t blocks() const { return this->blocks_for(this->cut.sequences); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_sequence(block, [&](index_t sequence, const lane& l, const share& here) {
      list<W, Keys> h;
      this->load_state(this->p.initial_state, sequence, l, here, h);
      const index_t pieces = this->cut.used_slots(sequence);
      for (index_t i = 0; i < pieces; ++i) {
        const index_t slot = this->cut.first_slot(sequence) + i;
        list<W, Keys> product, end;
        this->load_row(products, slot, l, here, product);
        this->load_row(states, slot, l, here, end);
        this->store_row(states, slot, l, here, h);
        bool fine = true;
        for (int n = 0; n < Keys; ++n) {
          end[n] = fma(product[n], h[n], end[n]);
          fine = fine && is_finite(make<E>::from(end[n]));
        }
        if (!fine) through_tokens(here, this->cut.of(sequence, i), h, end);
        for (int n = 0; n < Keys; ++n) h[n] = end[n];
      }
    });
  }

 private:
  // Inf or NaN: resets are exact where every token is seen.
  GATESCAN_HD void through_tokens(const share& here, const segment& s, const list<W, Keys>& h,
                                  list<W, Keys>& end) const {
    list<E, Keys> e;
    for (int n = 0; n < Keys; ++n) e[n] = make<E>::from(h[n]);
    for (index_t t = s.first; t < s.last; ++t) {
      const auto w = R::values(here.x, here.at(t));
      for (int n = 0; n < Keys; ++n)
        if (here.holds(n)) e[n] = here.next(t, n, w, e[n]);
    }
    for (int n = 0; n < Keys; ++n)
      if (!is_finite(make<E>::from(end[n]))) end[n] = make<W>::from(e[n]);
  }
};

// Outputs, final states, and for backward the states at the starts of runs: what is asked for. With
// several tiles of keys each leaves its part of o in `parts`.
template <class R, class T, bool IsComplex, int Keys>
struct run_segments : task<R, T, IsComplex, Keys> {
  using base = task<R, T, IsComplex, Keys>;
  using share = typename base::share;
  using C = typename base::C;
  using S = typename base::S;
  using E = typename base::E;
  using W = typename base::W;
  table<W> states;  // at the starts of segments, where time is cut
  operand<S> out;
  operand<C> final_state;
  table<E> parts;  // of o: [batch and token][tile]
  table<E> kept{};

  index_t blocks() const { return this->blocks_for(this->cut.slot_count()); }
  int shared_bytes() const {
    return share::template token_bytes<typename share::values_type>(this->map) +
           share::template token_bytes<E>(this->map);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_segment(block, [&](const segment& s, const lane& l, const share& here) {
      list<W, Keys> h;
      if (states.first != nullptr)
        this->load_row(states, s.slot, l, here, h);
      else
        this->load_state(this->p.initial_state, s.sequence, l, here, h);
      const operand<S> to = out.of_head(s.batch, l.head, l.value);
      auto w = share::template tokens<typename share::values_type>(block, this->map);
      auto sums = share::template tokens<E>(block, this->map);
      share::for_each_run(s.first, s.last, [&]<bool Full>(index_t t, int count) {
        if (kept.first != nullptr) {
          list<E, Keys> start;
          for (int n = 0; n < Keys; ++n) start[n] = make<E>::from(h[n]);
          this->store_row(kept, this->cut.run_row(s, t, share::run), l, here, start);
        }
        here.template values<Full>(block, t, count, w);
        if (!out.given && parts.first == nullptr) {
          here.template advance<Full, false>(block, this->steps, t, count, w, h, sums);
          return;
        }
        here.template advance<Full, true>(block, this->steps, t, count, w, h, sums);
        share::meet(block);
        here.template for_own_tokens<Full>(count, [&](int i, bool there) {
          if (!there || !l.active) return;
          if (parts.first != nullptr)
            parts.store(s.batch * this->cut.time + t + i, l.tile, l.channel, sums.at(i));
          else
            store_number(to, (t + i) * to.time,
                         R::output(here.x, here.at(t + i), w.at(i), sums.at(i)));
        });
      });
      if (!final_state.given || !s.closes || !l.active) return;
      for (int n = 0; n < Keys; ++n)
        if (here.holds(n))
          store_number(final_state, this->state_offset(final_state, s.sequence, l, here.key(n)),
                       make<E>::from(h[n]));
    });
  }
};

// Adds the parts of o, and writes the output. A thread an output.
template <class R, class T, bool IsComplex>
struct finish {
  using share = channel<R, T, IsComplex, 1>;
  using C = typename share::C;
  using E = typename share::E;
  problem_of<R, T> p;
  channel_map map;
  time_cut cut;
  operand<typename share::S> out;
  table<E> parts;

  int threads() const { return 128; }
  int shared_bytes() const { return 0; }
  index_t blocks() const { return ceil_divide(parts.rows * parts.channels, threads()); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t i = block.index() * block.threads() + block.thread();
    if (i >= parts.rows * parts.channels) return;
    lane l;
    l.channel = i % parts.channels;
    l.head = l.channel / p.n.values, l.value = l.channel % p.n.values;
    const index_t row = i / parts.channels, batch = row / p.n.time, t = row % p.n.time;
    if (cut.packed && cut.sequence_of(t) < 0) return;
    const share here(p.x, l, batch, map);
    E o = parts.load(row, 0, l.channel);
    for (index_t tile = 1; tile < parts.keys; ++tile) o = o + parts.load(row, tile, l.channel);
    const auto w = R::values(here.x, here.at(t));
    store_number(out, out.offset(batch, t, l.head) + l.value * out.value,
                 R::output(here.x, here.at(t), w, o));
  }
};

}  // namespace diagonal
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
