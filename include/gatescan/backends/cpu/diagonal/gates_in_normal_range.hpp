#pragma once
// Gates e^(step factor) where those of a chunk are all normal numbers: there is no overflow to look
// for and no reset to select, and what keys or tokens share is read once. The same bits as gate by
// gate, but for gradients that are sums over tokens.

#include "../../../core/gated_product.hpp"
#include "../operands/cursor4.hpp"
#include "states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Reads numbers that all channels share, and adds to their gradients.
template <class Tokens>
struct shared_by_channels {
  Tokens here;

  template <class S>
  GATESCAN_INLINE auto operator()(const operand<S>& x) const {
    return here.shared(x, x.re);
  }
  template <class C>
  GATESCAN_INLINE void add(const gradient_tile<C>& d, const simd::pack4<C>& g) const {
    if (d.given) here.add_shared(d, d.re, g);
  }
};

template <class Channels, class Tokens>
struct gates_in_normal_range {
  using R = typename Channels::recurrence;
  using C = typename Channels::C;
  using register_type = simd::pack<C>;
  using elements = typename Channels::template elements_of<Tokens>;
  using values = typename Channels::template values_of<Tokens>;
  using state_planes = planes<C, false>;
  static constexpr index_t size = Tokens::tokens, most = Channels::together / size;
  template <class X>
  using list = X[static_cast<std::size_t>(most)];

  const Channels& c;
  index_t first, pairs;  // tokens: the first, and how many pairs
  const values* value;   // of each pair

  /// Whether the gates are such.
  GATESCAN_INLINE bool applies() const {
    elements step(0), largest(0);
    for (index_t r = 0; r < pairs; ++r)
      step = larger_magnitude(step, R::gate_step(value[r]).log2e_step);
    for (index_t i = 0; i < c.n.keys; ++i) largest = larger_magnitude(largest, factor(i));
    return all_within(step * largest, simd::exp_reach<C> - 1);
  }

  template <bool WithOutput, class Walk>
  GATESCAN_INLINE void forward(elements* o, Walk* walks) const {
    for (index_t i = 0; i < c.n.keys; ++i) {
      typename Channels::template walk_of<Tokens, Walk> h(walks + i * Tokens::registers);
      list<elements> gates;
      gates_of(i, gates);
      for (index_t r = 0; r < pairs; ++r) {
        const auto key = R::keys(c.x, keys_at(r, i));
        elements states;
        h.next_kept(gates[r], key.k * value[r].v, states);
        if constexpr (WithOutput) o[r] = fma(key.q, states, o[r]);
      }
      h.store(walks + i * Tokens::registers);
      // A little after every key: all of it between groups of channels was waited for (selective
      // scan 10.5 ms, so 8.7; one core, AVX-512).
      if constexpr (WithOutput) c.ahead->step_apart();
    }
  }

  /// As channels::backward.
  template <class Out, class Tiles>
  GATESCAN_INLINE void backward(const Out& d_out, const Tiles& d, state_planes in, state_planes g,
                                elements* gates, elements* states) const {
    for (index_t i = 0; i < c.n.keys; ++i)  // far apart, so that hardware does not look ahead
      for (index_t r = 0; r < Tokens::registers; ++r)
        __builtin_prefetch(in.re + c.state(i) + r * Channels::lanes);
    list<values> d_value;
    list<elements> d_o, dv, d_step;
    for (index_t r = 0; r < pairs; ++r) {
      d_value[r] = {};
      d_o[r] = dv[r] = d_step[r] = elements(0);
    }
    for (index_t i = 0; i < c.n.keys; ++i) {
      recompute(i, in, d_o, gates + i * most, states + i * most);
      c.ahead->step_apart();
    }
    for (index_t r = 0; r < pairs; ++r) differentiate_output(r, d_out, d, d_value[r], d_o[r]);
    for (index_t i = 0; i < c.n.keys; ++i)
      adjoint(i, d, in, g, gates + i * most, states + i * most, d_o, dv, d_step);
    for (index_t r = 0; r < pairs; ++r) differentiate_values(r, d, d_value[r], dv[r], d_step[r]);
  }

  /// As channels::retreat, where d_o does not depend on o.
  template <class Tiles, class Out>
  GATESCAN_INLINE void retreat(const Out& d_out, state_planes g) const {
    list<elements> d_o, gates;
    for (index_t r = 0; r < pairs; ++r) {
      values ignored{};
      d_o[r] = c.gradient_of_o(d_out, Tiles{}, at(r), value[r], ignored, elements(0));
    }
    for (index_t i = 0; i < c.n.keys; ++i) {
      register_type g1 = g.load(c.state(i)), g2 = g.load(c.state(i) + Channels::lanes);
      gates_of(i, gates);
      for (index_t r = pairs - 1; r >= 0; --r) {
        elements d_h = R::keys(c.x, keys_at(r, i)).q * d_o[r];
        go_back(gates[r], d_h, g1, g2);
      }
      g.store(c.state(i), g1);
      g.store(c.state(i) + Channels::lanes, g2);
    }
  }

 private:
  // Functions of their own, whose numbers are not on the stack beside a key's without optimisation.
  template <class Out, class Tiles>
  GATESCAN_INLINE void differentiate_output(index_t r, const Out& d_out, const Tiles& d,
                                            values& d_value, elements& d_o) const {
    d_o = c.gradient_of_o(d_out, d, at(r), value[r], d_value, d_o);
  }
  template <class Tiles>
  GATESCAN_INLINE void differentiate_values(index_t r, const Tiles& d, values& d_value,
                                            const elements& dv, const elements& d_step) const {
    d_value.v = d_value.v + dv;
    R::gate_step_adjoint(d_value, d_step);
    R::values_adjoint(c.x, d, at(r), value[r], d_value);
  }
  GATESCAN_INLINE Tokens at(index_t r, index_t key = 0) const {
    return c.template at<Tokens>(first + r * size, key, r * size);
  }
  GATESCAN_INLINE shared_by_channels<Tokens> keys_at(index_t r, index_t key) const {
    return {at(r, key)};
  }
  GATESCAN_INLINE elements factor(index_t key) const {
    const elements f = R::gate_factor(c.x, at(0, key));
    return {f.a, f.b, f.a, f.b};
  }
  // Apart from the states, which depend on each other: forward takes 26.1 ms instead of 28.3 (D
  // 1536, N 16, L 2048, one core).
  GATESCAN_INLINE void gates_of(index_t key, elements* gates) const {
    const elements factor_i = factor(key);
    for (index_t r = 0; r < pairs; ++r)
      gates[r] = near_exp_of_product(R::gate_step(value[r]).log2e_step, factor_i);
  }

  // Gates, states and what they give to o, of one key.
  GATESCAN_INLINE void recompute(index_t i, state_planes in, elements* o, elements* gates,
                                 elements* states) const {
    register_type h1 = in.load(c.state(i)), h2 = in.load(c.state(i) + Channels::lanes);
    gates_of(i, gates);
    for (index_t r = 0; r < pairs; ++r) {
      const auto key = R::keys(c.x, keys_at(r, i));
      const elements a = gates[r];
      elements h = key.k * value[r].v;
      h.a = fma(a.a, h1, h.a), h.b = fma(a.b, h2, h.b);
      h1 = h.c = fma(a.c, h.a, h.c), h2 = h.d = fma(a.d, h.b, h.d);
      if constexpr (!Channels::simple_output) o[r] = fma(key.q, h, o[r]);
      states[r] = h;
    }
  }
  // d_h: from what outputs give to a pair's states to the gradients of these; g1, g2: of the state
  // after the pair, before it on return.
  static GATESCAN_INLINE void go_back(const elements& a, elements& d_h, register_type& g1,
                                      register_type& g2) {
    d_h.c = g1 + d_h.c, d_h.d = g2 + d_h.d;
    // rounded as from chunk to chunk, so that a chunk may end anywhere
    d_h.a = simd::rounded(a.c * d_h.c) + d_h.a, d_h.b = simd::rounded(a.d * d_h.d) + d_h.b;
    g1 = simd::rounded(a.a * d_h.a), g2 = simd::rounded(a.b * d_h.b);
  }
  // Gradients through the states of one key. g: of the state after the tokens, before them on
  // return. dv, d_step: of values and steps, added to.
  template <class Tiles>
  GATESCAN_INLINE void adjoint(index_t i, const Tiles& d, state_planes in, state_planes g,
                               const elements* gates, const elements* states, const elements* d_o,
                               elements* dv, elements* d_step) const {
    const elements factor_i = factor(i);
    register_type g1 = g.load(c.state(i)), g2 = g.load(c.state(i) + Channels::lanes);
    elements h = states[pairs - 1], d_factor(0);
    for (index_t r = pairs - 1; r >= 0; --r) {
      const auto here = keys_at(r, i);
      const elements a = gates[r];
      elements earlier = h;
      if (r > 0)
        earlier = states[r - 1];
      else
        Channels::template load_parts<Tokens>(in, c.state(i), size - 1, earlier);
      const auto key = R::keys(c.x, here);
      elements d_h = key.q * d_o[r];
      go_back(a, d_h, g1, g2);
      dv[r] = fma(d_h, key.k, dv[r]);
      R::keys_adjoint(c.x, d, here, keys_of<elements>{d_o[r] * h, d_h * value[r].v, elements(1)});
      const elements before(earlier.c, earlier.d, h.a, h.b), d_exponent = d_h * before * a;
      d_step[r] = fma(d_exponent, factor_i, d_step[r]);
      d_factor = fma(d_exponent, R::gate_step(value[r]).step, d_factor);
      h = earlier;
    }
    g.store(c.state(i), g1);
    g.store(c.state(i) + Channels::lanes, g2);
    R::gate_factor_adjoint(d, at(0, i), d_factor);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
