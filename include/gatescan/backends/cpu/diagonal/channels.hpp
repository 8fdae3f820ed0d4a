#pragma once
// One register of channels of a diagonal recurrence over a chunk of tokens: prologue, recurrence
// and epilogue in one go, a few tokens at a time, states in registers.

#include <algorithm>
#include <new>

#include "../../../core/concepts.hpp"
#include "../../../core/problem.hpp"
#include "../operands/prefetch.hpp"
#include "../simd/planes.hpp"
#include "gates_in_normal_range.hpp"
#include "shape.hpp"
#include "states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
struct channels {
  using recurrence = R;
  using storage = storage_t<T>;
  using C = state_t<T>;
  using register_type = simd::pack<C>;
  using E = element_t<C, IsComplex>;
  using operands_type = operands_of<R, T>;

  // Tokens go through the math alone, or neighbours side by side.
  using single = cursor<C, IsComplex, along::values>;
  using pair = cursor4<C, IsComplex, along::values, 2>;
  using row = cursor4<C, IsComplex, along::values, 1>;
  template <class Tokens>
  using elements_of = typename Tokens::element_type;
  template <class Tokens>
  using values_of = decltype(R::values(operands_type{}, Tokens{}));
  template <class Tokens>
  using output_of =
      decltype(R::output(operands_type{}, Tokens{}, values_of<Tokens>{}, elements_of<Tokens>{}));

  static constexpr index_t lanes = simd::lanes<C>;
  static constexpr bool unit_keys = has_unit_keys<R>();
  template <class Tokens>
  static constexpr bool may_have_normal_gates =
      exponential_gate<R> && !IsComplex && Tokens::registers == 2;
  static constexpr index_t together = tuning.tokens_together;  // go through the phases
  template <class X, index_t N>
  using list = X[static_cast<std::size_t>(N)];
  operands_type x;  // of this block of channels
  diagonal_shape n;
  index_t w;                          // the register's first channel in the block
  int in_use;                         // its channels
  prefetcher_to<2>* ahead = nullptr;  // what comes next, where groups of channels are gone through

  template <class Tokens>
  GATESCAN_INLINE Tokens at(index_t t, index_t key = 0, index_t tile_t = 0) const {
    return Tokens{single{t, key, w, in_use, tile_t}};
  }
  bool whole() const { return in_use == lanes; }
  /// Operands to the row of `tokens` later: adding costs less than multiplying strides out.
  template <class S>
  static GATESCAN_INLINE void go_on(operand<S>& of_row, index_t tokens) {
    of_row.re += tokens * of_row.time;
    if constexpr (IsComplex)
      if (of_row.im != nullptr) of_row.im += tokens * of_row.time;
  }
  GATESCAN_INLINE void go_on(index_t tokens) {
    for_each_field<R>([&](auto& of_row) { go_on(of_row, tokens); }, x);
  }
  /// Asks for `Numbers` of row t, of one operand or of all. Results do not gain from it.
  /// All of it is inline: compilers leave out calls of functions that do nothing but ask.
  template <index_t Numbers, class S>
  GATESCAN_INLINE void ask_for_row(const operand<S>& of, index_t t) const {
    if (of.time == 0) return;
    ask_for<Numbers>(of.re + t * of.time + w);
    if constexpr (IsComplex)
      if (of.im != nullptr) ask_for<Numbers>(of.im + t * of.time + w);
  }
  template <index_t Numbers>
  GATESCAN_INLINE void ask_for_row(index_t t) const {
    for_each_field<R>(
        [&](const auto& of) __attribute__((always_inline)) { ask_for_row<Numbers>(of, t); }, x);
  }
  template <index_t Numbers, class S>
  static GATESCAN_INLINE void ask_for(const S* p) {
    constexpr index_t line = 64 / sizeof(S);
#pragma GCC unroll 4
    for (index_t i = 0; i < Numbers; i += line) __builtin_prefetch(p + i);
  }
  static index_t parts_of(index_t count) { return ceil_divide(count, together); }
  /// Whether `count` tokens of a block that is in use as a whole can go by such groups.
  template <class Tokens>
  bool fits(index_t count) const {
    bool fit = n.width % (Tokens::registers * lanes) == 0 && count % Tokens::tokens == 0;
    for_each_field<R>([&](const auto& operand) { fit = fit && Tokens::fits(operand); }, x);
    return fit;
  }

  static register_type masked(register_type r, int count, C rest) {
    return simd::first_lanes(r, count, register_type(rest));
  }
  static cplx<register_type> masked(cplx<register_type> r, int count, C rest) {
    return {masked(r.re, count, rest), masked(r.im, count, C(0))};
  }
  // Lanes without a channel hold `rest`; pairs have none.
  template <class Tokens, class X>
  GATESCAN_INLINE X mask(X x_in, C rest) const {
    if constexpr (Tokens::registers == 1)
      if (!whole()) return masked(x_in, in_use, rest);
    return x_in;
  }
  template <class Tokens>
  GATESCAN_INLINE values_of<Tokens> values(const Tokens& here) const {
    auto value = R::values(x, here);
    if constexpr (Tokens::registers == 1) value.v = mask<Tokens>(value.v, C(0));
    return value;
  }
  // Made where they stay: compilers copy several registers through a call.
  template <class Tokens>
  GATESCAN_INLINE void put_values(values_of<Tokens>* to, const Tokens& here) const {
    ::new (static_cast<void*>(to)) values_of<Tokens>(values(here));
  }
  template <class Tokens>
  GATESCAN_INLINE elements_of<Tokens> gate(const Tokens& here,
                                           const values_of<Tokens>& value) const {
    return mask<Tokens>(R::gate(x, here, value), C(1));
  }

  /// Walks through tokens [first, first + count). With WithOutput `value` gets what the prologue
  /// said and `o` the product's o, of every pair (or token). walks: [key][register].
  template <class Tokens, bool WithOutput, class Walk>
  GATESCAN_FLATTEN void forward(index_t first, index_t count, values_of<Tokens>* value,
                                elements_of<Tokens>* o, Walk* walks) const {
    using elements = elements_of<Tokens>;
    constexpr index_t size = Tokens::tokens;
    const channels self = held(*this);
    for (index_t s = 0; s < count; s += together, value += together / size, o += together / size) {
      const index_t pairs = (std::min)(together, count - s) / size, t0 = first + s;
      for (index_t r = 0; r < pairs; ++r) {
        self.put_values(value + r, self.template at<Tokens>(t0 + r * size));
        if constexpr (WithOutput) o[r] = constant_of<elements>(C(0));
      }
      if constexpr (may_have_normal_gates<Tokens>) {
        const gates_in_normal_range<channels, Tokens> fast{self, t0, pairs, value};
        if (fast.applies()) {
          fast.template forward<WithOutput>(o, walks);
          continue;
        }
      }
      for (index_t i = 0; i < self.n.keys; ++i) {
        walk_of<Tokens, Walk> h(walks + i * Tokens::registers);
        for (index_t r = 0; r < pairs; ++r) {
          const Tokens here = self.template at<Tokens>(t0 + r * size, i);
          const elements a = self.gate(here, value[r]);
          elements states;
          if constexpr (unit_keys) {
            h.next(a, value[r].v, states);
            if constexpr (WithOutput) o[r] = states;
          } else {
            const auto key = R::keys(self.x, here);
            h.next(a, key.k * value[r].v, states);
            if constexpr (WithOutput) o[r] = fma(elements(key.q), states, o[r]);
          }
        }
        h.store(walks + i * Tokens::registers);
      }
    }
  }

  /// o of every token by surrogate attention, P_ts = sum_n q_t[n] k_s[n] prod_{j=s+1..t} a_j[n].
  /// gates, keys, queries: [token][key] registers.
  void attention(index_t first, index_t count, planes<C, IsComplex> in,
                 values_of<single>* values_out, E* o, E* gates, E* keys, E* query) const {
    const E one = constant<IsComplex>(C(1));
    for (index_t t = 0; t < count; ++t) {
      values_out[t] = values(at<single>(first + t));
      for (index_t i = 0; i < n.keys; ++i) {
        const single here = at<single>(first + t, i);
        gates[t * n.keys + i] = gate(here, values_out[t]);
        if constexpr (!unit_keys) {
          const auto key = R::keys(x, here);
          keys[t * n.keys + i] = E(key.k);
          query[i] = E(key.q);
        } else {
          query[i] = one;
        }
      }
      E sum = constant<IsComplex>(C(0));
      for (index_t s = t; s >= 0; --s) {
        E score = constant<IsComplex>(C(0));
        for (index_t i = 0; i < n.keys; ++i) {
          score = unit_keys ? query[i] : fma(query[i], keys[s * n.keys + i], score);
          query[i] = query[i] * gates[s * n.keys + i];
        }
        sum = fma(score, values_out[s].v, sum);
      }
      for (index_t i = 0; i < n.keys; ++i) sum = fma(query[i], in.load(i * n.width + w), sum);
      o[t] = sum;
    }
  }

  template <class Tokens>
  GATESCAN_INLINE output_of<Tokens> output(const Tokens& here, const values_of<Tokens>& value,
                                           const elements_of<Tokens>& o) const {
    return R::output(x, here, value, o);
  }
  template <class S, class Y>
  GATESCAN_INLINE void write(const operand<S>& out, index_t t, index_t r, Y y,
                             bool streaming) const {
    const index_t to = t * out.time + (w + r * lanes) * out.value;
    if constexpr (is_complex<Y>::value) {
      if (whole() && is_interleaved(out, out.value))
        return simd::interleave(out.re + to, y,
                                [&](S* p, register_type part) { put(p, 1, part, streaming); });
      put(out.re + to, out.value, y.re, streaming);
      if (out.im != nullptr) put(out.im + to, out.value, y.im, streaming);
    } else {
      put(out.re + to, out.value, y, streaming);
    }
  }

  // The walks of a pair's registers.
  template <class Tokens, class Walk>
  struct walk_of {
    Walk first, second;

    GATESCAN_INLINE explicit walk_of(const Walk* walks)
        : first(walks[0]), second(walks[Tokens::registers - 1]) {}
    GATESCAN_INLINE void next(const elements_of<Tokens>& a, const elements_of<Tokens>& x_in,
                              elements_of<Tokens>& states) {
#pragma GCC unroll 8
      for (index_t t = 0; t < Tokens::tokens; ++t) {
        set(states, Tokens::index(t, 0),
            first.next(get(a, Tokens::index(t, 0)), get(x_in, Tokens::index(t, 0))));
        if constexpr (Tokens::registers == 2)
          set(states, Tokens::index(t, 1),
              second.next(get(a, Tokens::index(t, 1)), get(x_in, Tokens::index(t, 1))));
      }
    }
    GATESCAN_INLINE void next_kept(const elements_of<Tokens>& a, const elements_of<Tokens>& x_in,
                                   elements_of<Tokens>& states) {
#pragma GCC unroll 8
      for (index_t t = 0; t < Tokens::tokens; ++t) {
        set(states, Tokens::index(t, 0),
            first.next_kept(get(a, Tokens::index(t, 0)), get(x_in, Tokens::index(t, 0))));
        if constexpr (Tokens::registers == 2)
          set(states, Tokens::index(t, 1),
              second.next_kept(get(a, Tokens::index(t, 1)), get(x_in, Tokens::index(t, 1))));
      }
    }
    GATESCAN_INLINE void store(Walk* walks) const {
      walks[0] = first;
      if constexpr (Tokens::registers == 2) walks[1] = second;
    }
  };

  index_t state(index_t key) const { return key * n.width + w; }

 private:
  template <class S>
  GATESCAN_INLINE void put(S* to, index_t stride, register_type y, bool streaming) const {
    if constexpr (std::is_same_v<S, C>)
      if (streaming) return simd::stream(to, y);
    simd::store(to, stride, in_use, y);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
