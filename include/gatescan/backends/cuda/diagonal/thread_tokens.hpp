#pragma once
// Neighbouring tokens of a channel in a thread's registers: their operands, and what they make of
// the channel's state.

#include "program_base.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

/// One key a channel, and operands that are a channel's.
template <class R>
constexpr bool all_of_channels() {
  bool all = has_unit_keys<R>();
  R::operands([&](const char*, const axes& a, presence) {
    all = all && (a.has(axis::value) || a.has(axis::channel));
  });
  return all;
}
template <class R>
concept recurrence_of_channels = all_of_channels<R>();

/// An operand's numbers at a thread's tokens, and the cursor of one of these.
template <class C, bool IsComplex, int Tokens>
struct tokens_of_operand {
  C re[static_cast<std::size_t>(Tokens)] = {};
  C im[static_cast<std::size_t>(IsComplex ? Tokens : 1)] = {};
  bool given = false;
};
template <class C, bool IsComplex>
struct token_place {
  int i;

  template <int Tokens>
  GATESCAN_HD C operator()(const tokens_of_operand<C, IsComplex, Tokens>& x) const {
    return x.re[i];
  }
  template <int Tokens>
  GATESCAN_HD number_t<C, IsComplex> element(
      const tokens_of_operand<C, IsComplex, Tokens>& x) const {
    if constexpr (IsComplex)
      return {x.re[i], x.im[i]};
    else
      return x.re[i];
  }
  template <class G>
  GATESCAN_HD void add(const accumulator<C>& d, G g) const {
    cursor<C, IsComplex>{}.add(d, g);
  }
};

/// What tokens make of a state: product * state + local, or local alone after a reset, whatever the
/// state was.
template <class W>
struct state_step {
  W product = number_cast<W>(1), local = number_cast<W>(0);
  bool reset = false;

  GATESCAN_HD W of(W state) const { return reset ? local : fma(product, state, local); }
};
struct one_after_another {
  template <class W>
  GATESCAN_HD state_step<W> operator()(const state_step<W>& first,
                                       const state_step<W>& then) const {
    return {then.reset ? number_cast<W>(0) : then.product * first.product, then.of(first.local),
            first.reset || then.reset};
  }
};

template <class R, class T, bool IsComplex>
struct token_program : program_base<R, T, IsComplex, 1> {
  using base = program_base<R, T, IsComplex, 1>;
  using channel = typename base::channel;
  using C = typename base::C;
  using E = typename base::E;
  using W = typename base::W;
  using S = typename base::S;
  using place = token_place<C, IsComplex>;
  static constexpr int thread_tokens = channel::chunk_tokens;  // whose first states backward keeps
  using loaded = typename R::template fields<tokens_of_operand<C, IsComplex, thread_tokens>>;
  using step = state_step<W>;
  using numbers = registers<E, thread_tokens>;
  loaded nothing_loaded{};  // switches, and which operands are given

  token_program() = default;
  explicit token_program(const base& shared) : base(shared) {
    R::operands([](const char*, const axes&, presence, const auto& from,
                   auto& to) { to.given = from.given; },
                this->p.x, nothing_loaded);
    R::options([](const char*, const auto& from, auto& to) { to = from; }, this->p.x,
               nothing_loaded);
  }

  /// The same with zeros that are not loaded: one of the two is what a compiler does better with.
  GATESCAN_HD loaded no_tokens() const {
    loaded x = nothing_loaded;
    R::operands(
        [](const char*, const axes&, presence, auto& of) {
          for (C& re : of.re) re = 0;
          for (C& im : of.im) im = 0;
        },
        x);
    return x;
  }
  /// f(i) for a thread's tokens.
  template <bool Full, class F>
  GATESCAN_HD static void for_tokens(int count, F&& f) {
    unrolled<thread_tokens>([&](int i) {
      if (Full || i < count) f(i);
    });
  }

  /// Gates and inputs of the thread's tokens, and the step that they make.
  template <bool Full>
  GATESCAN_HD static step own_step(const loaded& x, int count, numbers& gates, numbers& inputs) {
    E product = number_cast<E>(1), sum = number_cast<E>(0);
    bool was_reset = false;
    for_tokens<Full>(count, [&](int i) {
      const place at{i};
      const auto w = R::values(x, at);
      const E a = R::gate(x, at, w), add = w.v;
      const bool reset = is_zero(a);
      gates[i] = a, inputs[i] = add;
      sum = reset ? add : fma(a, sum, add);
      product = reset ? number_cast<E>(0) : fixed_product(product, a);
      was_reset = was_reset || reset;
    });
    return {number_cast<W>(product), number_cast<W>(sum), was_reset};
  }
  GATESCAN_HD static E next(E gate, E input, E h) {
    return is_zero(gate) ? input : fma(gate, h, input);
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
