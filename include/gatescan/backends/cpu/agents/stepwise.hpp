#pragma once
// The agent of recurrences that are not a gated product (agent.hpp): a user's own step, and his
// own associative operator if he has one. One register of channels, token by token; scan mode
// reduces segments with the operator.

#include <cstring>

#include "../simd/math.hpp"
#include "agent_of_channels.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, kernel_form Form>
class stepwise_agent : public agent_of_channels<R, T> {
  using base = agent_of_channels<R, T>;
  using base::x_;

 public:
  using typename base::C;
  using typename base::problem;
  using typename base::tiles_of_gradients;

  static constexpr kernel_form form = Form;
  static constexpr bool scans = has_combine<R>, adjoint_scans = false;

  static index_t value_blocks(const sizes& n) { return ceil_divide(n.values, width); }
  static schedule adapt(const schedule& how) { return how; }

  stepwise_agent(arena& scratch, const problem& p, const schedule& how, bool backward)
      : base(p, width) {
    if (backward) history_ = scratch.take<C>((how.backward_chunk + 1) * state_size());
  }

  index_t state_size() const { return sizeof(state) / sizeof(C); }
  index_t key_pitch() const { return R::states; }

  template <class S>
  void load_state(const operand<S>& from, C* to) const {
    for (index_t i = 0; i < state_size(); ++i) to[i] = C(0);
    if (!from.given) return;
    const index_t at = this->place_of_state(from);
    for (index_t i = 0; i < R::states; ++i)
      for (index_t j = 0; j < this->value_count(); ++j)
        to[i * width + j] = from.re[at + i * from.key + j * from.value];
  }
  void store_state(const operand<C>& to, const C* from) const {
    if (!to.given) return;
    const index_t at = this->place_of_state(to);
    for (index_t i = 0; i < R::states; ++i)
      for (index_t j = 0; j < this->value_count(); ++j)
        to.re[at + i * to.key + j * to.value] = from[i * width + j];
  }
  gradient_tile<C> state_tile(C* g) const { return {g, nullptr, 0, width, 1, true}; }

  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    state h = read(in);
    const auto to_out = this->here(to.out);
    for (index_t i = t; i < t + count; ++i) {
      const value_cursor here = at(i);
      const auto w = R::values(x_, here);
      h = R::step(x_, w, h);
      if (to.out.given)
        simd::store(to_out.re + i * to_out.time, to_out.value, here.count,
                    R::output(x_, here, w, h));
    }
    write(out, h);
  }
  void advance(index_t t, index_t count, const C* in, C* out) {
    state h = read(in);
    for (index_t i = t; i < t + count; ++i) h = R::step(x_, R::values(x_, at(i)), h);
    write(out, h);
    last_advanced_ = t;
  }
  template <class Bracket>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
              index_t count, const C* in, C* g, const Bracket& bracket) {
    write(history_, read(in));
    for (index_t i = 0; i < count; ++i)
      advance(t + i, 1, history_ + i * state_size(), history_ + (i + 1) * state_size());
    state d_h = read(g);
    const auto d_out_here = this->here(results.out);
    for (index_t first = (count - 1) / subchunk_tokens * subchunk_tokens; first >= 0;
         first -= subchunk_tokens) {
      const index_t last = std::min<index_t>(first + subchunk_tokens, count);
      bracket.open(t + first, last - first);
      for (index_t i = last - 1; i >= first; --i) {
        value_cursor here = at(t + i);
        here.tile_t = i - first;
        const auto w = R::values(x_, here);
        auto d_w = decltype(w){};
        std::remove_const_t<decltype(d_w)> d_values{};
        const register_type d_out =
            d_out_here.given ? simd::first_lanes(here(d_out_here), here.count, register_type(0))
                             : register_type(0);
        R::output_adjoint(x_, d, here, w, d_values, read(history_ + (i + 1) * state_size()), d_out,
                          d_h);
        d_h = R::step_adjoint(x_, w, d_values, read(history_ + i * state_size()), d_h);
        R::values_adjoint(x_, d, here, w, d_values);
      }
      bracket.close(t + first, last - first);
    }
    write(g, d_h);
    return g;
  }

  // A segment's summary: the combination of its elements.
  index_t summary_size() const requires scans { return sizeof(summary) / sizeof(C); }
  void clear_summary(C* to) const requires scans {
    store_summary(to, R::template identity<register_type>());
  }
  void extend_summary(C* to, index_t count) const requires scans {
    summary sum;
    std::memcpy(&sum, to, sizeof sum);
    for (index_t t = last_advanced_; t < last_advanced_ + count; ++t)
      sum = R::combine(R::element_of(x_, R::values(x_, at(t))), sum);
    store_summary(to, sum);
  }
  bool apply_summary(const C* from, const C*, const C* in, C* out) const requires scans {
    summary sum;
    std::memcpy(&sum, from, sizeof sum);
    write(out, R::apply(sum, read(in)));
    return true;
  }

 private:
  static constexpr index_t width = simd::lanes<C>;
  using value_cursor = cursor<C, false, along::values>;
  using register_type = simd::pack<C>;
  using state = typename R::template state_of<register_type>;
  static_assert(sizeof(state) == R::states * sizeof(register_type),
                "gatescan: state_of<R> must hold `states` numbers of type R and nothing else");

  static auto summary_type() {
    if constexpr (scans)
      return R::template identity<register_type>();
    else
      return register_type{};
  }
  using summary = decltype(summary_type());

  value_cursor at(index_t t) const { return {t, 0, 0, static_cast<int>(this->value_count())}; }
  static state read(const C* from) {
    state h;
    std::memcpy(&h, from, sizeof h);
    return h;
  }
  static void write(C* to, const state& h) { std::memcpy(to, &h, sizeof h); }
  static void store_summary(C* to, const summary& s) { std::memcpy(to, &s, sizeof s); }

  C* history_ = nullptr;
  index_t last_advanced_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
