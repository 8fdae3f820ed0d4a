#pragma once
// The agent of a block of channels that are averages with weights in log space
// (../../agents/agent.hpp), the channels of a row beside each other: token by token, forward but in
// recurrent mode a few tokens against one m (tokens_together.hpp). A segment's summary is the
// logarithm of what its gates make together, and its own average.
//
// States are [4][channels]: num, den, m and its low part (average.hpp); their gradients have no m.

#include <algorithm>
#include <cmath>

#include "../../agents/agent_of_channels.hpp"
#include "../../operands/prefetch.hpp"
#include "../../operands/unit_strides.hpp"
#include "../shape.hpp"
#include "tokens_together.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, kernel_form Form>
class channel_average_agent : public agent_of_channels<R, T> {
  using base = agent_of_channels<R, T>;
  using base::width_;
  using base::x_;

 public:
  using typename base::C;
  using typename base::problem;
  using typename base::storage;
  using typename base::tiles_of_gradients;

  static constexpr kernel_form form = Form;
  static constexpr bool scans = true, adjoint_scans = false;

  static index_t value_blocks(const sizes& n) { return ceil_divide(n.values, width_for(n)); }
  static schedule adapt(schedule how) {
    how.forward_chunk = tuning.channel_averages_chunk;
    how.backward_chunk = subchunk_tokens;
    return how;
  }

  channel_average_agent(arena& scratch, const problem& p, const schedule&, bool backward)
      : base(p, width_for(p.n)) {
    if (!backward) return;
    history_ = scratch.take<C>((subchunk_tokens + 1) * state_size());
    weights_ = scratch.take<C>(subchunk_tokens * 3 * width_);
  }

  index_t state_size() const { return 4 * width_; }
  index_t key_pitch() const { return 1; }

  /// A gradient comes without m.
  template <class S>
  void load_state(const state_operands<S>& from, C* to) const {
    fill(to, 2 * width_, C(0));
    fill(to + 2 * width_, width_, average::never);
    fill(to + 3 * width_, width_, C(0));
    load_part(from, to);
    load_part(from.normaliser, to + width_);
    load_part(from.log_scale, to + 2 * width_);
    if (!from.log_scale.given) return;
    for (index_t i = 0; i < width_; ++i) {
      C& m = to[2 * width_ + i];
      if (m >= average::never || m != m) continue;
      m = average::never, to[i] = to[width_ + i] = 0;
    }
  }
  /// What rounding took of m stays in num and den.
  void store_state(const state_operands<C>& to, C* from) const {
    round_m(from, from);
    fill(from + 3 * width_, width_, C(0));
    store_part(to, from);
    store_part(to.normaliser, from + width_);
    for (index_t i = 0; i < width_; ++i)
      if (C& m = from[2 * width_ + i]; m == average::never) m = -std::numeric_limits<C>::infinity();
    store_part(to.log_scale, from + 2 * width_);
  }
  gradient_tile<C> state_tile(C* g) const { return {g, nullptr, 0, width_, 1, true}; }
  gradient_tile<C> normaliser_tile(C* g) const { return state_tile(g + width_); }
  index_t normaliser_values() const { return this->value_count(); }

  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) const {
    const operand<storage> result = this->here(to.out);
    copy_numbers(out, in, state_size());
    const auto write = [&](const operands_type& x, const place& at, P o)
        __attribute__((always_inline)) {
      if (result.given)
        simd::store(result.re + at.t * result.time + at.value * result.value, result.value,
                    at.count, R::output(x, at, R::values(x, at), o));
    };
    if constexpr (in_steps)
      for_each(
          t, count, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
            average s = load(out, at.value);
            write(x, at, take(x, at, s));
            store(out, at.value, s);
          });
    else
      for (index_t i = 0; i < count; i += together::most) {
        prefetcher_to<2> next;
        look_ahead(t + i + together::most, next);
        for_each(
            t + i, 1, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
              P o[together::most];
              const index_t some = (std::min)(together::most, count - i);
              store(out, at.value, take_together(x, at, some, load(out, at.value), o));
              place here = at;
              for (index_t k = 0; k < some; ++k, ++here.t) write(x, here, o[k]);
              next.step_apart();
            });
      }
  }
  void advance(index_t t, index_t count, const C* in, C* out) {
    copy_numbers(out, in, state_size());
    for_each(
        t, count, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
          const auto logs = R::log_weights(x, at);
          const average s = load(out, at.value);
          store(out, at.value, s.next(s.weigh(logs.gate, logs.key), R::values(x, at).v, P(1)));
        });
    last_advanced_ = t;
  }

  template <class Bracket>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& into, index_t t,
              index_t count, const C* in, C* g, const Bracket& bracket) const {
    const operand<const storage> d_out = this->here(results.out);
    copy_numbers(history_, in, state_size());
    for_each(
        t, count, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
          const auto logs = R::log_weights(x, at);
          C* const before = history_ + (at.t - t) * state_size();
          const average s = load(before, at.value);
          const auto w = s.weigh(logs.gate, logs.key);
          store(before + state_size(), at.value, s.next(w, R::values(x, at).v, P(1)));
          C* const weights = weights_ + (at.t - t) * 3 * width_ + at.value;
          simd::store(weights, w.state), simd::store(weights + width_, w.lost);
          simd::store(weights + 2 * width_, w.key);
        });
    if (this->p_->ends(this->sequence()) && t + count == this->p_->last_token(this->sequence()))
      round_m(history_ + count * state_size(), g);
    bracket.open(t, count);
    const tiles_of_gradients d = held(into);
    for (index_t i = count - 1; i >= 0; --i)
      for_each(
          t + i, 1, [&](const operands_type& x, place at) __attribute__((always_inline)) {
            at.tile_t = i;
            const C* const weights = weights_ + i * 3 * width_ + at.value;
            const P d_o = d_out.given ? simd::first_lanes(at(d_out), at.count, P(0)) : P(0);
            token_adjoint(x, d, at, load(history_ + i * state_size(), at.value),
                          {simd::load(weights), simd::load(weights + width_),
                           simd::load(weights + 2 * width_), P(0), P(0)},
                          d_o, g + at.value);
          });
    bracket.close(t, count);
    return g;
  }

  // The logarithm of the gates' product, and what rounding took of it: [2][channels].
  index_t summary_size() const { return 2 * width_; }
  void clear_summary(C* to) const { fill(to, summary_size(), C(0)); }
  void extend_summary(C* to, index_t count) const {
    for_each(
        last_advanced_,
        count, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
          C *const high = to + at.value, *const low = high + width_;
          const auto sum = exact_sum(simd::load(high), P(R::log_weights(x, at).gate));
          simd::store(high, sum.value);
          simd::store(low, unless_finite(sum.error, simd::load(low) + sum.error, P(0)));
        });
  }
  bool apply_summary(const C* gates, const C* local, const C* in, C* out) const {
    P check(0);
    for (index_t i = 0; i < width_; i += lanes) {
      const average s = load(in, i), own = load(local, i);
      const auto w = s.weigh(simd::load(gates + i), own.m, simd::load(gates + width_ + i), own.low);
      const average after = s.next(w, own.num, own.den);
      store(out, i, after);
      check = check + (after.num + after.den) * P(0);
    }
    return is_zero(check);
  }

 private:
  // A caller's m is a number without low part: num and den of such a state from those of `state`,
  // or, which is the same product, the other way with gradients. An m that is rounded by more says
  // nothing of them.
  static constexpr C most_rounded = 60;
  void round_m(const C* state, C* num_and_den) const {
    if (in_steps) return;
    for (index_t i = 0; i < width_; ++i)
      if (const C low = state[3 * width_ + i]; low != 0 && std::abs(low) < most_rounded) {
        const C factor = std::exp(low);
        num_and_den[i] *= factor, num_and_den[width_ + i] *= factor;
      }
  }

  static constexpr index_t lanes = simd::lanes<C>;
  static constexpr bool in_steps = Form == kernel_form::steps;
  using average = channel_average<C, in_steps>;
  using together = tokens_together<C>;
  using P = simd::pack<C>;
  using operands_type = operands_of<R, T>;
  using place = cursor<C, false, along::values>;

  static index_t width_for(sizes n) {
    n.keys = 4;  // numbers a channel
    return diagonal_width<C>(n);
  }
  // f(operands, place) for every register of channels of tokens [t, t + count)
  template <class F>
  void for_each(index_t t, index_t count, F&& f) const {
    const operands_type x = held(x_), dense = with_values_side_by_side<R>(x_);
    const index_t channels = this->value_count();
    const index_t whole = values_side_by_side<R>(x) ? channels / lanes * lanes : 0;
    for (index_t i = t; i < t + count; ++i) {
      for (index_t j = 0; j < whole; j += lanes) f(dense, place{i, 0, j, static_cast<int>(lanes)});
      for (index_t j = whole; j < channels; j += lanes)
        f(x, place{i, 0, j, static_cast<int>((std::min)(lanes, channels - j))});
    }
  }
  // o of a token, and the state after it.
  static GATESCAN_INLINE P take(const operands_type& x, const place& at, average& s) {
    const auto logs = R::log_weights(x, at);
    const auto w = R::values(x, at);
    const P o = s.average(s.read(logs.key, logs.bonus), w.v);
    s = s.next(s.weigh(logs.gate, logs.key), w.v, P(1));
    return o;
  }
  // The same of a few tokens.
  static GATESCAN_INLINE average take_together(const operands_type& x, const place& at,
                                               index_t count, const average& before, P* o) {
    together all(before);
    place here = at;
    for (index_t i = 0; i < count; ++i, ++here.t) {
      const auto logs = R::log_weights(x, here);
      o[i] = all.take(logs.gate, logs.key, logs.bonus, R::values(x, here).v);
    }
    if (!simd::any(~all.in_range())) return all.state();
    return take_in_range(x, at, count, before, o);
  }
  // Once more, to see from where on channels are not in range.
  static __attribute__((noinline)) average take_in_range(const operands_type& x, const place& at,
                                                         index_t count, const average& before,
                                                         P* o) {
    together all(before);
    typename together::lanes in_range[together::most];
    place here = at;
    for (index_t i = 0; i < count; ++i, ++here.t) {
      const auto logs = R::log_weights(x, here);
      o[i] = all.take(logs.gate, logs.key, logs.bonus, R::values(x, here).v);
      in_range[i] = all.in_range();
      if (simd::any(in_range[i])) continue;
      for (; i < count; ++i) in_range[i] = typename together::lanes{}, o[i] = P(0);
    }
    return take_apart(x, at, count, before, all.state(), in_range, o);
  }
  // Token by token, for channels from where they are not `in_range`.
  static average take_apart(const operands_type& x, place at, index_t count, average s,
                            const average& after, const typename together::lanes* in_range, P* o) {
    for (index_t i = 0; i < count; ++i, ++at.t) {
      const P exact = take(x, at, s);
      o[i] = {in_range[i] ? o[i].v : exact.v};
    }
    const auto all = in_range[count - 1];
    return {P{all ? after.num.v : s.num.v}, P{all ? after.den.v : s.den.v},
            P{all ? after.m.v : s.m.v}, P{all ? after.low.v : s.low.v}};
  }
  // A few tokens' rows lie too far apart for the hardware to look ahead.
  void look_ahead(index_t first, prefetcher_to<2>& next) const {
    const index_t channels = this->value_count();
    const index_t last = (std::min)(first + together::most, this->p_->last_token(this->sequence()));
    for_each_field<R>([&](const auto& x) { next.add(x, first, last, 1, channels); }, x_);
    next.begin(ceil_divide(channels, lanes));
  }
  // From g of the state after the token to that of the one before it.
  GATESCAN_INLINE void token_adjoint(const operands_type& x, const tiles_of_gradients& d,
                                     const place& at, const average& s,
                                     const typename average::writing& by, P d_out, C* g) const {
    const auto logs = R::log_weights(x, at);
    const auto w = R::values(x, at);
    auto d_w = w;
    P d_num = simd::load(g), d_den = simd::load(g + width_);
    const P d_key = unless_zero(by.key, by.key * fma(d_num, w.v, d_den));
    d_w.v = by.key * d_num;
    const P kept = by.state + by.lost;
    const P d_gate = unless_zero(kept, kept * fma(d_num, s.num, d_den * s.den));

    const auto r = s.read(logs.key, logs.bonus);
    const P o = s.average(r, w.v);
    const P d_sum = unless_zero(r.all, R::output_adjoint(x, d, at, w, d_w, o, d_out) / r.all);
    d_w.v = fma(r.own, d_sum, d_w.v);
    simd::store(g, by.carry(d_num, r.state * d_sum));
    simd::store(g + width_, by.carry(d_den, -(r.state * d_sum) * o));
    const P d_bonus = unless_zero(r.own, r.own * d_sum * (w.v - o));
    R::log_weights_adjoint(x, d, at, log_weights_and_bonus_of<P>{d_gate, d_key + d_bonus, d_bonus});
    R::values_adjoint(x, d, at, w, d_w);
  }

  template <class S>
  void load_part(const operand<S>& from, C* to) const {
    if (from.given)
      copy_numbers(to, 1, from.re + this->place_of_state(from), from.value, this->value_count());
  }
  void store_part(const operand<C>& to, const C* from) const {
    if (to.given)
      copy_numbers(to.re + this->place_of_state(to), to.value, from, 1, this->value_count());
  }
  GATESCAN_INLINE average load(const C* from, index_t at) const {
    return {simd::load(from + at), simd::load(from + width_ + at),
            simd::load(from + 2 * width_ + at), simd::load(from + 3 * width_ + at)};
  }
  GATESCAN_INLINE void store(C* to, index_t at, const average& s) const {
    simd::store(to + at, s.num), simd::store(to + width_ + at, s.den);
    simd::store(to + 2 * width_ + at, s.m), simd::store(to + 3 * width_ + at, s.low);
  }

  C *history_ = nullptr, *weights_ = nullptr;
  index_t last_advanced_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
