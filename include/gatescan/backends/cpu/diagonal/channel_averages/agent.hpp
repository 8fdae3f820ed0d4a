#pragma once
// The agent of a block of channels that are averages with weights in log space
// (../../agents/agent.hpp), the channels of a row beside each other: in recurrent mode token by
// token, else a few tokens together (walk.hpp). A segment's summary is the
// logarithm of what its gates make together, and its own average.
//
// States are [4][channels]: num, den, m and its low part (average.hpp); their gradients have no m.

#include <algorithm>
#include <cmath>

#include "../../agents/agent_of_channels.hpp"
#include "../../operands/past_caches.hpp"
#include "../../operands/prefetch.hpp"
#include "../../operands/unit_strides.hpp"
#include "../shape.hpp"
#include "adjoint.hpp"

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

  channel_average_agent(arena& scratch, const problem& p, const schedule&, bool)
      : base(p, width_for(p.n)), constants_(scratch.take<C>(width_)) {}

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

  /// The state that the call after this one starts from.
  void comes_before(const C* state) { state_before_ = state; }

  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) const {
    const operand<storage> result = this->here(to.out);
    const bool streaming = streams(result);
    go_on<true>(
        t, count, in, out,
        [ result, streaming ](const operands_type& x, const place& at, P o)
            __attribute__((always_inline)) {
              if (!result.given) return;
              const P y = R::output(x, at, R::values(x, at), o);
              storage* const p = result.re + at.t * result.time + at.value * result.value;
              if constexpr (std::is_same_v<storage, C>)
                if (streaming && at.count == lanes) return simd::stream(p, y);
              simd::store(p, result.value, at.count, y);
            });
  }
  void advance(index_t t, index_t count, const C* in, C* out) {
    go_on<false>(t, count, in, out, [](const operands_type&, const place&, P) {});
    last_advanced_ = t;
  }

  template <class Bracket>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& into, index_t t,
              index_t count, const C* in, C* g, const Bracket& bracket) const {
    const operand<const storage> d_out = this->here(results.out);
    const bool ends =
        this->p_->ends(this->sequence()) && t + count == this->p_->last_token(this->sequence());
    prefetcher_to<2> next;
    look_back(d_out, t, count, next);
    bracket.open(t, count);
    const tiles_of_gradients d = held(into);
    for_each(
        t, 1, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
          const adjoint all{{}, x, d_out, d};
          const auto before = all.go_back(
              at, count, load(in, at.value),
              {simd::load(g + at.value), simd::load(g + width_ + at.value)}, ends && !in_steps);
          simd::store(g + at.value, before.num), simd::store(g + width_ + at.value, before.den);
          next.step_apart();
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
  // A caller's m is a number without low part: num and den of such a state from those of `state`.
  void round_m(const C* state, C* num_and_den) const {
    if (in_steps) return;
    for (index_t i = 0; i < width_; i += lanes) {
      typename adjoint::gradient s{simd::load(num_and_den + i),
                                   simd::load(num_and_den + width_ + i)};
      adjoint::round_m(simd::load(state + 3 * width_ + i), s);
      simd::store(num_and_den + i, s.num), simd::store(num_and_den + width_ + i, s.den);
    }
  }

  static constexpr index_t lanes = simd::lanes<C>;
  static constexpr bool in_steps = Form == kernel_form::steps;
  using walk = average_walk<R, T, in_steps>;
  using adjoint = average_adjoint<R, T, in_steps>;
  using average = typename walk::average;
  using P = simd::pack<C>;
  using operands_type = typename walk::operands_type;
  using place = typename walk::place;

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
  // Through tokens from state `in` to `out`; write(operands, place, o) of each if it Reads.
  template <bool Reads>
  void go_on(index_t t, index_t count, const C* in, C* out, auto&& write) const {
    copy_numbers(out, in, state_size());
    if constexpr (in_steps)
      for_each(
          t, count, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
            average s = load(out, at.value);
            const P o = walk::template take<Reads>(x, at, s);
            if constexpr (Reads) write(x, at, o);
            store(out, at.value, s);
          });
    else
      go_on_together<Reads>(t, count, out, write);
  }
  template <bool Reads>
  void go_on_together(index_t t, index_t count, C* state, auto&& write) const {
    for_each(
        t, 1, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
          simd::store(constants_ + at.value, walk::together::constant(R::log_weights(x, at)));
        });
    for (index_t i = 0; i < count; i += walk::most) {
      prefetcher next;
      look_ahead(t + i + walk::most, next);
      for_each(
          t + i, 1, [&](const operands_type& x, const place& at) __attribute__((always_inline)) {
            P o[std::size_t(walk::most)];
            const index_t some = (std::min)(walk::most, count - i);
            store(state, at.value,
                  walk::template take_together<Reads>(x, at, some, load(state, at.value),
                                                      simd::load(constants_ + at.value), o));
            place here = at;
            for (index_t k = 0; Reads && k < some; ++k, ++here.t) write(x, here, o[k]);
            next.step_apart();
          });
    }
  }
  // A few tokens' rows lie too far apart for the hardware to look ahead.
  void look_ahead(index_t first, prefetcher& next) const {
    const index_t channels = this->value_count();
    const index_t last = (std::min)(first + walk::most, this->p_->last_token(this->sequence()));
    for_each_field<R>([&](const auto& x) { next.add(x, first, last, 1, channels); }, x_);
    next.begin(ceil_divide(channels, lanes));
  }
  // Backward's chunk before.
  void look_back(const operand<const storage>& d_out, index_t last, index_t count,
                 prefetcher_to<2>& next) const {
    const index_t channels = this->value_count(), first = (std::max)(last - count, index_t(0));
    const auto add = [&](const auto& x) { next.add(x, first, last, 1, channels); };
    for_each_field<R>(add, x_);
    add(d_out);
    if (state_before_ != nullptr) next.add_rows(state_before_, width_, 4, channels);
    next.begin(ceil_divide(channels, lanes));
  }
  // Results larger than the caches go past them.
  bool streams(const operand<storage>& out) const {
    const sizes& n = this->p_->n;
    return simd::whole_lines && out.value == 1 &&
           goes_past_caches<C>(out, n.batch * n.time * n.values);
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

  C* constants_;  // of tokens that go together
  const C* state_before_ = nullptr;
  index_t last_advanced_ = 0;
};

template <class R, class T, kernel_form Form>
inline constexpr bool sees_state_before<channel_average_agent<R, T, Form>> = true;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
