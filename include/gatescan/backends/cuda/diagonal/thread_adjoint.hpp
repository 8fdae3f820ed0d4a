#pragma once
// Backward of a thread's neighbouring tokens, whose operands are in registers. With g_t the
// gradient of the state after token t, and conj where numbers are complex
//
//   g_{t-1} = a_t (g_t + do_t)   da_t = (g_t + do_t) h_{t-1}   dv_t = g_t + do_t

#include "../operands/collect.hpp"
#include "thread_tokens.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

template <class R, class T, bool IsComplex>
struct thread_adjoint {
  using program = token_program<R, T, IsComplex>;
  static constexpr int thread_tokens = program::thread_tokens;
  using C = typename program::C;
  using D = typename program::D;
  using E = typename program::E;
  using channel = typename program::channel;
  using loaded = typename program::loaded;
  using numbers = typename program::numbers;
  using place = typename program::place;
  using accumulators = typename R::template fields<accumulator<C>>;
  using values_type = typename channel::values_type;
  using tokens = tokens_of_operand<C, IsComplex, thread_tokens>;
  using step = state_step<D>;
  using gradients = typename R::template fields<tokens>;
  using wide_sums = typename R::template fields<accumulator<double>>;
  using collector_type = collector<R, T, IsComplex, 1, thread_tokens, true>;

  // Operands of the thread's tokens and gradients of their outputs; gates, states before them and
  // gradients of o.
  loaded x;
  tokens d_out;
  numbers gates, before, d_o;
  E last;  // the state after them

  GATESCAN_HD E after(int i, int count) const { return i + 1 < count ? before[i + 1] : last; }

  /// Gates, states and gradients of o, from the state before the tokens.
  template <bool Full>
  GATESCAN_HD void go_on_from(E h, int count) {
    program::template for_tokens<Full>(count, [&](int i) {
      const place at{i};
      const values_type w = R::values(x, at);
      gates[i] = R::gate(x, at, w);
      before[i] = h;
      h = program::next(gates[i], w.v, h);
      accumulators ignored{};
      values_type also_ignored{};
      d_o[i] = R::output_adjoint(x, ignored, at, w, also_ignored, h, at.element(d_out));
    });
    last = h;
  }
  GATESCAN_HD static E before_token(E gate, E g, E d_of_o) {
    return is_zero(gate) ? number_cast<E>(0) : conj(gate) * (g + d_of_o);
  }
  /// The gradient of the state before the tokens from that of the state after them.
  template <bool Full>
  GATESCAN_HD E back_from(E g, int count) const {
    against_tokens<Full>(count, [&](int i) { g = before_token(gates[i], g, d_o[i]); });
    return g;
  }
  /// What the tokens make of a gradient that comes to their end.
  template <bool Full>
  GATESCAN_HD step step_back(int count) const {
    E product = number_cast<E>(1), sum = number_cast<E>(0);
    bool was_reset = false;
    against_tokens<Full>(count, [&](int i) {
      const bool reset = is_zero(gates[i]);
      sum = before_token(gates[i], sum, d_o[i]);
      product = reset ? number_cast<E>(0) : fixed_product(product, E(conj(gates[i])));
      was_reset = was_reset || reset;
    });
    return {number_cast<D>(product), number_cast<D>(sum), was_reset};
  }
  /// Gradients of the tokens from that of the state after them; what is of all tokens is added to
  /// `total`.
  template <bool Full>
  GATESCAN_HD void of_tokens(int count, E g, gradients& d, wide_sums& total) const {
    accumulators own{};
    against_tokens<Full>(count, [&](int i) {
      R::operands(
          [](const char*, const axes& a, presence, auto& sum) {
            if (a.has(axis::time)) sum.re = sum.im = 0;
          },
          own);
      const place at{i};
      const values_type w = R::values(x, at);
      const E a = gates[i], to_state = g + d_o[i];
      values_type d_w{};
      d_w.v = d_w.v + to_state;
      R::gate_adjoint(x, own, at, w, d_w, a, to_state * conj(before[i]));
      g = before_token(a, g, d_o[i]);
      R::output_adjoint(x, own, at, w, d_w, after(i, count), at.element(d_out));
      R::values_adjoint(x, own, at, w, d_w);
      R::operands(
          [i](const char*, const axes& a_of, presence, const auto& sum, auto& of_token) {
            if (!a_of.has(axis::time)) return;
            of_token.re[i] = sum.re;
            if constexpr (IsComplex) of_token.im[i] = sum.im;
          },
          own, d);
    });
    R::operands(
        [](const char*, const axes& a, presence, const auto& sum, auto& all) {
          if (a.has(axis::time)) return;
          all.re += static_cast<double>(sum.re), all.im += static_cast<double>(sum.im);
        },
        own, total);
  }

  // ---- where gradients go

  GATESCAN_HD static auto cursor_at(const segment& s, const channel_thread& thread) {
    return cursor<C, IsComplex>{s.batch, 0, thread.head, 0, thread.value};
  }
  template <class Sink>
  GATESCAN_HD static index_t place_of(const collector_type& collect, const axes& a,
                                      const Sink& sink, const segment& s,
                                      const channel_thread& thread) {
    return sink.place_of(cursor_at(s, thread), collect.lead(sink, s),
                         collect.copy(a, sink, thread, s));
  }

 private:
  template <bool Full, class F>
  GATESCAN_HD static void against_tokens(int count, F&& f) {
    unrolled<thread_tokens>([&](int n) {
      const int i = thread_tokens - 1 - n;
      if (Full || i < count) f(i);
    });
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
