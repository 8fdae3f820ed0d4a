#pragma once
// Backward of one register of channels over a chunk of tokens: states once more from where it
// began, then the same scan against time.
//
//   g_t = conj(q_t) d_o_t + conj(a_{t+1}) g_{t+1}
//   d_k v_t = g_t        d_a_t = g_t conj(h_{t-1})        d_q_t = d_o_t conj(h_t)

#include "channels.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
struct channels_backward : channels<R, T, IsComplex> {
  using base = channels<R, T, IsComplex>;
  using base::lanes;
  using base::n;
  using base::state;
  using base::together;
  using base::unit_keys;
  using base::x;
  using typename base::C;
  using typename base::E;
  using typename base::storage;
  template <class Tokens>
  using elements_of = typename base::template elements_of<Tokens>;
  template <class Tokens>
  using values_of = typename base::template values_of<Tokens>;
  template <class Tokens>
  using output_of = typename base::template output_of<Tokens>;
  template <class Tokens, class Walk>
  using walk_of = typename base::template walk_of<Tokens, Walk>;
  template <class X, index_t N>
  using list = typename base::template list<X, N>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;

  static constexpr bool simple_output =
      std::is_base_of_v<plain_output, R>;  // d_o does not depend on o

  /// Gradients of `count` <= together tokens with keys, into tiles, as the recurrence stands:
  /// states are recomputed from `in`, then the same scan runs against time. g: gradient of the
  /// state after the tokens on entry, before them on return. gates, states: [key][pair].
  template <class Tokens>
  GATESCAN_FLATTEN void backward(const operand<const storage>& d_out,
                                 const tiles_of_gradients& into, index_t first, index_t count,
                                 planes<C, IsComplex> in, planes<C, IsComplex> g,
                                 elements_of<Tokens>* gates, elements_of<Tokens>* states) const {
    constexpr index_t size = Tokens::tokens;
    const channels_backward self = held(*this);
    const tiles_of_gradients d = held(into);
    const index_t pairs = count / size;
    list<values_of<Tokens>, together / size> value;
    if constexpr (base::template may_have_normal_gates<Tokens>) {
      for (index_t r = 0; r < pairs; ++r)
        self.put_values(value + r, self.template at<Tokens>(first + r * size, 0, r * size));
      const gates_in_normal_range<channels_backward, Tokens> fast{self, first, pairs, value};
      if (fast.applies()) return fast.backward(d_out, d, in, g, gates, states);
    }
    self.template backward_in_steps<Tokens>(d_out, d, first, pairs, in, g, gates, states, value);
  }

  /// The gradient of the state before the tokens only.
  template <class Tokens>
  GATESCAN_FLATTEN void retreat(const operand<const storage>& d_out, index_t first, index_t count,
                                planes<C, IsComplex> in, planes<C, IsComplex> g,
                                elements_of<Tokens>* gates) const {
    using elements = elements_of<Tokens>;
    constexpr index_t size = Tokens::tokens, most = together / size;
    const index_t pairs = count / size;
    list<values_of<Tokens>, most> value;
    list<elements, most> d_o;
    if constexpr (base::template may_have_normal_gates<Tokens> && has_linear_output<R>) {
      const channels_backward self = held(*this);
      for (index_t r = 0; r < pairs; ++r)
        self.put_values(value + r, self.template at<Tokens>(first + r * size));
      const gates_in_normal_range<channels_backward, Tokens> fast{self, first, pairs, value};
      if (fast.applies()) return fast.template retreat<tiles_of_gradients>(d_out, g);
    }
    recompute<Tokens, false>(first, pairs, in, value, d_o, gates, nullptr);
    for (index_t r = 0; r < pairs; ++r) {
      values_of<Tokens> ignored{};
      d_o[r] =
          gradient_of_o(d_out, tiles_of_gradients{}, this->template at<Tokens>(first + r * size),
                        value[r], ignored, d_o[r]);
    }
    for (index_t i = 0; i < n.keys; ++i) {
      carried_of<Tokens> carried(g, state(i));
      for (index_t r = pairs - 1; r >= 0; --r) {
        elements d_h = d_o[r];
        if constexpr (!unit_keys)
          d_h = conj(elements(R::keys(x, this->template at<Tokens>(first + r * size, i)).q)) * d_h;
        carried.next(gates[i * most + r], d_h);
      }
      carried.store(g, state(i));
    }
  }

  template <class Tokens>
  GATESCAN_INLINE elements_of<Tokens> gradient_of_o(const operand<const storage>& d_out,
                                                    const tiles_of_gradients& d, const Tokens& here,
                                                    const values_of<Tokens>& value,
                                                    values_of<Tokens>& d_value,
                                                    const elements_of<Tokens>& o) const {
    output_of<Tokens> d_y = constant_of<output_of<Tokens>>(C(0));
    if (d_out.given) {
      if constexpr (is_complex<output_of<Tokens>>::value)
        d_y = here.element(d_out);
      else
        d_y = here(d_out);
    }
    return this->template mask<Tokens>(
        R::output_adjoint(x, d, here, value, d_value, o, this->template mask<Tokens>(d_y, C(0))),
        C(0));
  }
  template <class Tokens>
  static GATESCAN_INLINE void load_parts(planes<C, IsComplex> from, index_t at, index_t token,
                                         elements_of<Tokens>& to) {
#pragma GCC unroll 8
    for (index_t j = 0; j < Tokens::registers; ++j)
      set(to, Tokens::index(token, j), from.load(at + j * lanes));
  }

  // The gradient that goes from state to state against time. What goes on to the token before is
  // rounded on its own, as a state is, so that a chunk may end anywhere.
  template <class Tokens>
  struct carried_of {
    E first, second;

    GATESCAN_INLINE carried_of(planes<C, IsComplex> g, index_t at)
        : first(g.load(at)), second(g.load(at + (Tokens::registers - 1) * lanes)) {}
    // d_h: from what a token's own output gives to what its state gets
    GATESCAN_INLINE void next(const elements_of<Tokens>& a, elements_of<Tokens>& d_h) {
#pragma GCC unroll 8
      for (index_t t = Tokens::tokens - 1; t >= 0; --t) {
        pass(first, get(a, Tokens::index(t, 0)), d_h, t, 0);
        if constexpr (Tokens::registers == 2) pass(second, get(a, Tokens::index(t, 1)), d_h, t, 1);
      }
    }
    GATESCAN_INLINE void store(planes<C, IsComplex> g, index_t at) const {
      g.store(at, first);
      if constexpr (Tokens::registers == 2) g.store(at + lanes, second);
    }
    static GATESCAN_INLINE void pass(E& carried, E gate, elements_of<Tokens>& d_h, index_t t,
                                     index_t r) {
      const E g = carried + get(d_h, Tokens::index(t, r));
      set(d_h, Tokens::index(t, r), g);
      carried = reset_to(gate, constant<IsComplex>(C(0)), conj(gate) * g);
    }
  };

 private:
  // backward whatever the gates are. value: of each pair.
  template <class Tokens>
  GATESCAN_INLINE void backward_in_steps(const operand<const storage>& d_out,
                                         const tiles_of_gradients& d, index_t first, index_t pairs,
                                         planes<C, IsComplex> in, planes<C, IsComplex> g,
                                         elements_of<Tokens>* gates, elements_of<Tokens>* states,
                                         values_of<Tokens>* value) const {
    using elements = elements_of<Tokens>;
    constexpr index_t size = Tokens::tokens, most = together / size;
    list<values_of<Tokens>, most> d_value = {};
    list<elements, most> d_o, dv;
    const auto place = [&](index_t r, index_t key) {
      return this->template at<Tokens>(first + r * size, key, r * size);
    };
    recompute<Tokens, true>(first, pairs, in, value, d_o, gates, states);
    for (index_t r = 0; r < pairs; ++r) {
      dv[r] = constant_of<elements>(C(0));
      d_o[r] = gradient_of_o(d_out, d, place(r, 0), value[r], d_value[r], d_o[r]);
    }
    for (index_t i = 0; i < n.keys; ++i) {
      carried_of<Tokens> carried(g, state(i));
      elements h = states[i * most + pairs - 1];
      for (index_t r = pairs - 1; r >= 0; --r) {
        const Tokens here = place(r, i);
        const elements a = gates[i * most + r];
        elements earlier = h, before = h, d_h = d_o[r];
        if (r > 0)
          earlier = states[i * most + r - 1];
        else
          load_parts<Tokens>(in, state(i), size - 1, earlier);
#pragma GCC unroll 8
        for (index_t t = 0; t < size; ++t)
#pragma GCC unroll 8
          for (index_t j = 0; j < Tokens::registers; ++j)
            set(before, Tokens::index(t, j),
                t > 0 ? get(h, Tokens::index(t - 1, j)) : get(earlier, Tokens::index(size - 1, j)));
        const auto key = R::keys(x, here);
        d_h = conj(elements(key.q)) * d_h;
        carried.next(a, d_h);
        dv[r] = fma(d_h, conj(elements(key.k)), dv[r]);
        R::keys_adjoint(x, d, here,
                        keys_of<elements>{d_o[r] * conj(h), d_h * conj(value[r].v), elements{}});
        R::gate_adjoint(x, d, here, value[r], d_value[r], a, d_h * conj(before));
        h = earlier;
      }
      carried.store(g, state(i));
    }
    for (index_t r = 0; r < pairs; ++r) {
      accumulate(d_value[r].v, dv[r]);
      R::values_adjoint(x, d, place(r, 0), value[r], d_value[r]);
    }
  }

  // What backward needs of forward: values, o where the epilogue's adjoint takes it, gates, states.
  template <class Tokens, bool KeepStates>
  GATESCAN_INLINE void recompute(index_t first, index_t pairs, planes<C, IsComplex> in,
                                 values_of<Tokens>* value, elements_of<Tokens>* o,
                                 elements_of<Tokens>* gates, elements_of<Tokens>* states) const {
    using elements = elements_of<Tokens>;
    using walk = stepped_state<IsComplex, C>;
    constexpr index_t size = Tokens::tokens, most = together / size;
    for (index_t r = 0; r < pairs; ++r) {
      this->put_values(value + r, this->template at<Tokens>(first + r * size));
      o[r] = constant_of<elements>(C(0));
    }
    for (index_t i = 0; i < n.keys; ++i) {
      list<walk, Tokens::registers> begin;
      for (index_t j = 0; j < Tokens::registers; ++j)
        begin[j] = walk(in.load(state(i) + j * lanes), constant<IsComplex>(C(0)));
      walk_of<Tokens, walk> walks(begin);
      for (index_t r = 0; r < pairs; ++r) {
        const Tokens here = this->template at<Tokens>(first + r * size, i);
        const elements a = gates[i * most + r] = this->gate(here, value[r]);
        if constexpr (!KeepStates && has_linear_output<R>) continue;
        elements h;
        if constexpr (unit_keys) {
          walks.next(a, value[r].v, h);
          if constexpr (!simple_output) o[r] = h;
        } else {
          const auto key = R::keys(x, here);
          walks.next(a, key.k * value[r].v, h);
          if constexpr (!simple_output) o[r] = fma(elements(key.q), h, o[r]);
        }
        if constexpr (KeepStates) states[i * most + r] = h;
      }
    }
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
