#pragma once
// One register of channels of a diagonal recurrence over a run of tokens: prologue, recurrence and
// epilogue in one go, a few tokens at a time, states in registers.

#include <algorithm>

#include "../../../core/concepts.hpp"
#include "../../../core/problem.hpp"
#include "../cursor.hpp"
#include "walks.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool Complex>
struct channels {
  using storage = storage_t<T>;
  using C = state_t<T>;
  using E = element_t<C, Complex>;
  using register_type = simd::pack<C>;
  using operands_type = typename R::template fields<operand<const storage>>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;
  using place = cursor<C, Complex, along::values>;
  using values_type = decltype(R::values(operands_type{}, place{}));
  using output_type = decltype(R::output(operands_type{}, place{}, values_type{}, E{}));

  static constexpr index_t lanes = simd::lanes<C>;
  static constexpr bool unit_keys = has_unit_keys<R>();
  static constexpr bool simple_output =
      std::is_base_of_v<plain_output, R>;  // d_o does not depend on o
  /// Tokens that go through the phases together: what they share stays in L1.
  static constexpr index_t together = 16;

  operands_type x;  // of this block of channels
  diagonal_shape n;
  index_t w;   // the register's first channel in the block
  int in_use;  // its channels

  GATESCAN_INLINE place at(index_t t, index_t key = 0, index_t tile_t = 0) const {
    return {t, key, w, in_use, tile_t};
  }
  bool whole() const { return in_use == lanes; }

  static register_type masked(register_type r, int count, C rest) {
    return simd::first_lanes(r, count, register_type(rest));
  }
  static cplx<register_type> masked(cplx<register_type> r, int count, C rest) {
    return {masked(r.re, count, rest), masked(r.im, count, C(0))};
  }
  GATESCAN_INLINE values_type values(index_t t) const {
    values_type value = R::values(x, at(t));
    if (!whole()) value.v = masked(value.v, in_use, C(0));
    return value;
  }
  GATESCAN_INLINE E gate(const place& here, const values_type& value) const {
    const E a = R::gate(x, here, value);
    return whole() ? a : masked(a, in_use, C(1));
  }

  /// States after tokens [first, first + count), and o of every token if `o` is not null.
  /// done(key, walk) at the end.
  template <template <bool, class> class Walk, class Begin, class Done>
  void forward(index_t first, index_t count, values_type* values_of, E* o, Walk<Complex, C>* walks,
               Begin&& begin, Done&& done) const {
    using walk = Walk<Complex, C>;
    const channels self = *this;  // copies: what registers are stored to might otherwise be these
    for (index_t i = 0; i < n.keys; ++i) walks[i] = begin(i);
    for (index_t s = 0; s < count; s += together) {
      const index_t tokens = (std::min)(together, count - s), t0 = first + s;
      values_type value[together];
      E sum[together];
      for (index_t t = 0; t < tokens; ++t) {
        value[t] = self.values(t0 + t);
        sum[t] = constant<Complex>(C(0));
      }
      for (index_t i = 0; i < n.keys; ++i) {
        walk h = walks[i];
        for (index_t t = 0; t < tokens; ++t) {
          const place entry = self.at(t0 + t, i);
          const E a = self.gate(entry, value[t]);
          if constexpr (unit_keys) {
            sum[t] = h.next(a, value[t].v);
          } else {
            const auto key = R::keys(self.x, entry);
            sum[t] = fma(E(key.q), h.next(a, key.k * value[t].v), sum[t]);
          }
        }
        walks[i] = h;
      }
      for (index_t t = 0; t < tokens; ++t) {
        values_of[s + t] = value[t];
        if (o != nullptr) o[s + t] = sum[t];
      }
    }
    for (index_t i = 0; i < n.keys; ++i) done(i, walks[i]);
  }

  /// Without keys there is little to do but to move memory: row by row, as it lies there, all
  /// `channels_in_use` of the block. walks: one a register. NaN in what is returned tells of Inf or
  /// NaN in the results.
  template <class Walk, class S, class Ahead>
  E rows(index_t first, index_t count, index_t channels_in_use, const operand<S>& result,
         bool streaming, Walk* walks, Ahead&& ahead) const {
    const index_t registers = channels_in_use / lanes;
    if (channels_in_use % lanes == 0) {  // few: their states stay in registers
      if (registers == 1) return narrow_rows<1>(first, count, result, streaming, walks);
      if (registers == 2) return narrow_rows<2>(first, count, result, streaming, walks);
      if (registers == 4) return narrow_rows<4>(first, count, result, streaming, walks);
    }
    channels here = *this;  // copies: what registers are stored to might otherwise be these
    const operand<S> out = result;
    E check = constant<Complex>(C(0));
    for (index_t t = first; t < first + count; ++t) {
      here.in_use = lanes;
      for (index_t r = 0; r < registers; ++r)
        check = check + here.row_step(out, t, r, walks[r], streaming);
      here.in_use = static_cast<int>(channels_in_use - registers * lanes);
      if (here.in_use > 0)
        check = check + here.row_step(out, t, registers, walks[registers], false);
      ahead();
    }
    return check;
  }

  /// o of every token by surrogate attention, P_ts = sum_n q_t[n] k_s[n] prod_{j=s+1..t} a_j[n].
  /// gates, keys, queries: [token][key] registers.
  void attention(index_t first, index_t count, planes<C, Complex> in, values_type* values_of, E* o,
                 E* gates, E* keys, E* query) const {
    const E one = constant<Complex>(C(1));
    for (index_t t = 0; t < count; ++t) {
      values_of[t] = values(first + t);
      for (index_t i = 0; i < n.keys; ++i) {
        const place here = at(first + t, i);
        gates[t * n.keys + i] = gate(here, values_of[t]);
        if constexpr (!unit_keys) {
          const auto key = R::keys(x, here);
          keys[t * n.keys + i] = E(key.k);
          query[i] = E(key.q);
        } else {
          query[i] = one;
        }
      }
      E sum = constant<Complex>(C(0));
      for (index_t s = t; s >= 0; --s) {
        E score = constant<Complex>(C(0));
        for (index_t i = 0; i < n.keys; ++i) {
          score = unit_keys ? query[i] : fma(query[i], keys[s * n.keys + i], score);
          query[i] = query[i] * gates[s * n.keys + i];
        }
        sum = fma(score, values_of[s].v, sum);
      }
      for (index_t i = 0; i < n.keys; ++i) sum = fma(query[i], in.load(i * n.width + w), sum);
      o[t] = sum;
    }
  }

  template <class S>
  GATESCAN_INLINE void write(const operand<S>& out, index_t t, const values_type& value, E o,
                             bool streaming) const {
    const place here = at(t);
    const auto y = R::output(x, here, value, o);
    const index_t to = here.t * out.time + here.value * out.value;
    if constexpr (is_complex<output_type>::value) {
      put(out.re + to, out.value, y.re, streaming);
      if (out.im != nullptr) put(out.im + to, out.value, y.im, streaming);
    } else {
      put(out.re + to, out.value, y, streaming);
    }
  }

  output_type output_gradient(const operand<const storage>& d_out, const place& here) const {
    if constexpr (is_complex<output_type>::value) {
      return d_out.given ? masked(here.element(d_out), here.count, C(0)) : constant<true>(C(0));
    } else {
      return d_out.given ? masked(here(d_out), here.count, C(0)) : register_type(0);
    }
  }

  /// Gradients of `count` <= together tokens, into tiles, as the recurrence stands: states are
  /// recomputed from `in`, then the same scan runs against time. g: gradient of the state after the
  /// tokens on entry, before them on return. gates, states: [key][token] registers.
  void backward(const operand<const storage>& d_out, const tiles_of_gradients& into, index_t first,
                index_t count, index_t tile_t, planes<C, Complex> in, planes<C, Complex> g,
                E* gates, E* states) const {
    const channels self = *this;  // copies, as in forward
    const tiles_of_gradients d = into;
    values_type value[together], d_value[together] = {};
    E o[together], d_o[together], dv[together];
    for (index_t t = 0; t < count; ++t) {
      value[t] = self.values(first + t);
      o[t] = dv[t] = constant<Complex>(C(0));
    }
    for (index_t i = 0; i < n.keys; ++i) {
      sequential_walk<Complex, C> h(in.load(i * n.width + w), constant<Complex>(C(0)));
      for (index_t t = 0; t < count; ++t) {
        const place here = self.at(first + t, i);
        const E a = self.gate(here, value[t]);
        gates[i * together + t] = a;
        if constexpr (unit_keys) {
          states[i * together + t] = h.next(a, value[t].v);
        } else {
          const auto key = R::keys(self.x, here);
          states[i * together + t] = h.next(a, key.k * value[t].v);
          if constexpr (!simple_output) o[t] = fma(E(key.q), h.h, o[t]);
        }
        if constexpr (unit_keys && !simple_output) o[t] = h.h;
      }
    }
    for (index_t t = 0; t < count; ++t) {
      const place here = self.at(first + t, 0, tile_t + t);
      const E to_o = R::output_adjoint(self.x, d, here, value[t], d_value[t], o[t],
                                       self.output_gradient(d_out, here));
      d_o[t] = whole() ? to_o : masked(to_o, in_use, C(0));
    }
    for (index_t i = 0; i < n.keys; ++i) {
      const E before_run = in.load(i * n.width + w);
      E carried = g.load(i * n.width + w);
      for (index_t t = count - 1; t >= 0; --t) {
        const place here = self.at(first + t, i, tile_t + t);
        const E a = gates[i * together + t];
        const E before = t > 0 ? states[i * together + t - 1] : before_run;
        E gt;
        if constexpr (unit_keys) {
          gt = carried + d_o[t];
          dv[t] = gt;
        } else {
          const auto key = R::keys(self.x, here);
          gt = carried + conj(E(key.q)) * d_o[t];
          dv[t] = dv[t] + gt * conj(E(key.k));
          R::keys_adjoint(
              x, d, here,
              keys_of<E>{d_o[t] * conj(states[i * together + t]), gt * conj(value[t].v), E{}});
        }
        R::gate_adjoint(self.x, d, here, value[t], d_value[t], a, gt * conj(before));
        // what goes on to the token before is rounded on its own, as a state is, so that a run may
        // end anywhere
        carried = reset_to(a, constant<Complex>(C(0)), conj(a) * gt);
      }
      g.store(i * n.width + w, carried);
    }
    for (index_t t = 0; t < count; ++t) {
      d_value[t].v = d_value[t].v + dv[t];
      R::values_adjoint(self.x, d, self.at(first + t, 0, tile_t + t), value[t], d_value[t]);
    }
  }

  /// The gradient of the state before the tokens only.
  void retreat(const operand<const storage>& d_out, index_t first, index_t count,
               planes<C, Complex> in, planes<C, Complex> g, E* gates) const {
    values_type value[together];
    E o[together], d_o[together];
    for (index_t t = 0; t < count; ++t) {
      value[t] = values(first + t);
      o[t] = constant<Complex>(C(0));
    }
    for (index_t i = 0; i < n.keys; ++i) {
      sequential_walk<Complex, C> h(in.load(i * n.width + w), constant<Complex>(C(0)));
      for (index_t t = 0; t < count; ++t) {
        const place here = at(first + t, i);
        const E a = gates[i * together + t] = gate(here, value[t]);
        if constexpr (!simple_output) {
          if constexpr (unit_keys) {
            o[t] = h.next(a, value[t].v);
          } else {
            const auto key = R::keys(x, here);
            o[t] = fma(E(key.q), h.next(a, key.k * value[t].v), o[t]);
          }
        }
      }
    }
    for (index_t t = 0; t < count; ++t) {
      const place here = at(first + t);
      values_type ignored{};
      const E to_o = R::output_adjoint(x, tiles_of_gradients{}, here, value[t], ignored, o[t],
                                       output_gradient(d_out, here));
      d_o[t] = whole() ? to_o : masked(to_o, in_use, C(0));
    }
    for (index_t i = 0; i < n.keys; ++i) {
      E carried = g.load(i * n.width + w);
      for (index_t t = count - 1; t >= 0; --t) {
        E gt = d_o[t];
        if constexpr (!unit_keys) gt = conj(E(R::keys(x, at(first + t, i)).q)) * gt;
        const E a = gates[i * together + t];
        carried = reset_to(a, constant<Complex>(C(0)), conj(a) * (carried + gt));
      }
      g.store(i * n.width + w, carried);
    }
  }

 private:
  template <class Walk, class S>
  GATESCAN_INLINE E row_step(const operand<S>& out, index_t t, index_t r, Walk& walk,
                             bool streaming) {
    w = r * lanes;
    const values_type value = values(t);
    Walk h = walk;
    const E o = h.next(gate(at(t), value), value.v);
    walk = h;
    write(out, t, value, o, streaming);
    return o * register_type(0);
  }
  template <std::size_t Registers, class Walk, class S>
  E narrow_rows(index_t first, index_t count, const operand<S>& result, bool streaming,
                Walk* walks) const {
    channels here = *this;
    here.in_use = lanes;
    const operand<S> out = result;
    Walk h[Registers] = {};
    E check[Registers] = {};
    for (std::size_t r = 0; r < Registers; ++r) h[r] = walks[r];
    for (index_t t = first; t < first + count; ++t)
#pragma GCC unroll 4
      for (std::size_t r = 0; r < Registers; ++r)
        check[r] = check[r] + here.row_step(out, t, static_cast<index_t>(r), h[r], streaming);
    for (std::size_t r = 0; r < Registers; ++r) {
      walks[r] = h[r];
      if (r > 0) check[0] = check[0] + check[r];
    }
    return check[0];
  }
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
