#pragma once
// Backward of a diagonal recurrence without keys, row by row as memory lies: states once more for a
// few tokens, then the same scan against time.

#include "../operands/noting_cursor.hpp"
#include "channels_backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
struct channel_rows_adjoint : channels_backward<R, T, IsComplex> {
  using base = channels_backward<R, T, IsComplex>;
  using base::lanes;
  using base::n;
  using base::w;
  using base::x;
  using typename base::C;
  using typename base::E;
  using typename base::row;
  using typename base::single;
  using typename base::storage;
  using typename base::tiles_of_gradients;
  template <class Tokens>
  using elements_of = typename base::template elements_of<Tokens>;
  template <class Tokens>
  using values_of = typename base::template values_of<Tokens>;
  using state_planes = planes<C, IsComplex>;

  // Gates that cost more to make than to read are kept from the way along time to the way back,
  // with the values that they are made with.
  static constexpr bool gates_of_values = requires(const values_of<single>& value) { value.gate; };
  static constexpr bool keeps_gates = gates_of_values || has_log_gate<R>;
  template <class Tokens>
  using kept_of = std::conditional_t<gates_of_values, values_of<Tokens>, elements_of<Tokens>>;
  using kept = kept_of<single>;
  static_assert(sizeof(kept_of<row>) == sizeof(kept) * std::size_t(row::registers));

  // Where a row is little work its lines are asked for by their places, without a queue of them:
  // elementwise, B 8, L 4096, D 512, 14.6 ms for 17.2, but in bf16 16.2 for 15.3; min_gru 36 for 29
  // (AVX-512, one core).
  static constexpr bool little_work = !keeps_gates && std::is_same_v<storage, C>;

  C* notes = nullptr;  // noting_cursor.hpp

  /// Numbers that the states of `tokens` rows take, and registers of what is kept of their gates.
  static index_t scratch_size(const diagonal_shape& n, index_t tokens) {
    return tokens * n.width * (IsComplex ? 2 : 1);
  }
  static index_t kept_size(const diagonal_shape& n, index_t tokens) {
    return keeps_gates ? tokens * n.width / lanes : 0;
  }

  /// Gradients of `count` tokens of the block's channels in use, into tiles. g: gradient of the
  /// state after the tokens on entry, before them on return. What comes next, from `back`
  /// tokens before on, is asked for a row at a time.
  GATESCAN_FLATTEN void backward_rows(const operand<const storage>& d_out,
                                      const tiles_of_gradients& into, index_t first, index_t count,
                                      index_t back, index_t channels_in_use, state_planes in,
                                      state_planes g, C* states, kept* gates) const {
    channel_rows_adjoint here = held(*this);
    operand<const storage> d_o = held(d_out);
    const tiles_of_gradients d = held(into);
    constexpr index_t step = row::registers * lanes;
    const bool groups = here.template fits<row>(1) && row::fits(d_o);
    const index_t in_groups = groups ? channels_in_use / step * step : 0;
    const auto along_row = [&](auto&& f) __attribute__((always_inline)) {
      here.in_use = lanes;
      for (here.w = 0; here.w < in_groups; here.w += step) f.template operator()<row>();
      for (; here.w < channels_in_use; here.w += lanes) {
        here.in_use = static_cast<int>((std::min)(lanes, channels_in_use - here.w));
        f.template operator()<single>();
      }
    };
    const auto row_of_states = [&](index_t t) {
      return t < 0 ? in : state_planes(states + scratch_size(here.n, t), here.n.width);
    };
    const auto gates_of = [&](index_t t) { return gates + kept_size(here.n, t); };
    here.go_on(first);
    for (index_t t = 0; t < count; ++t) {
      const state_planes before = row_of_states(t - 1), now = row_of_states(t);
      along_row([&]<class Tokens>() __attribute__((always_inline)) {
        if (little_work && back != 0) here.template ask_for_row<Tokens::registers * lanes>(-back);
        here.template advance<Tokens>(before, now, gates_of(t), t == 0);
      });
      here.go_on(1);
      if (!little_work) here.ahead->step();
    }
    base::go_on(d_o, first + count);
    for (index_t t = count - 1; t >= 0; --t) {
      here.go_on(-1), base::go_on(d_o, -1);
      const state_planes before = row_of_states(t - 1), now = row_of_states(t);
      along_row([&]<class Tokens>() __attribute__((always_inline)) {
        if (little_work && back != 0)
          here.template ask_for_row<Tokens::registers * lanes>(d_o, -back);
        here.template retreat<Tokens>(d_o, d, t, before, now, g, gates_of(t), t == count - 1);
      });
      if (!little_work) here.ahead->step();
    }
  }

 private:
  // What is kept of a row, at the registers that `Tokens` takes.
  template <class Tokens>
  GATESCAN_INLINE kept_of<Tokens>* kept_at(kept* of_row) const {
    return reinterpret_cast<kept_of<Tokens>*>(of_row + w / lanes);
  }
  template <class Tokens>
  GATESCAN_INLINE void advance(state_planes before, state_planes now, kept* of_row,
                               bool makes_notes) const {
    const noting<Tokens, C> here{this->template at<Tokens>(0), notes, makes_notes};
    const values_of<Tokens> value = this->values(here);
    const elements_of<Tokens> a = this->gate(here, value);
    if constexpr (gates_of_values)
      ::new (static_cast<void*>(kept_at<Tokens>(of_row))) values_of<Tokens>(value);
    else if constexpr (keeps_gates)
      ::new (static_cast<void*>(kept_at<Tokens>(of_row))) elements_of<Tokens>(a);
#pragma GCC unroll 4
    for (index_t j = 0; j < Tokens::registers; ++j) {
      stepped_state<IsComplex, C> walk(before.load(w + j * lanes), constant<IsComplex>(C(0)));
      now.store(w + j * lanes,
                walk.next(get(a, Tokens::index(0, j)), get(value.v, Tokens::index(0, j))));
    }
  }
  template <class Tokens>
  GATESCAN_INLINE values_of<Tokens> value_again(const auto& here, kept* of_row) const {
    if constexpr (gates_of_values)
      return *kept_at<Tokens>(of_row);
    else
      return this->values(here);
  }
  template <class Tokens>
  GATESCAN_INLINE elements_of<Tokens> gate_again(const auto& here, const values_of<Tokens>& value,
                                                 kept* of_row) const {
    if constexpr (keeps_gates && !gates_of_values)
      return *kept_at<Tokens>(of_row);
    else
      return this->gate(here, value);
  }
  template <class Tokens>
  GATESCAN_INLINE void retreat(const operand<const storage>& d_out, const tiles_of_gradients& d,
                               index_t tile_t, state_planes before, state_planes now,
                               state_planes g, kept* of_row, bool makes_notes) const {
    using elements = elements_of<Tokens>;
    const noting<Tokens, C> here{this->template at<Tokens>(0, 0, tile_t), notes, makes_notes};
    const values_of<Tokens> value = value_again<Tokens>(here, of_row);
    const elements a = gate_again<Tokens>(here, value, of_row);
    values_of<Tokens> d_value{};
    elements h = constant_of<elements>(C(0)), earlier = h;
    if constexpr (!base::simple_output) base::template load_parts<Tokens>(now, w, 0, h);
    base::template load_parts<Tokens>(before, w, 0, earlier);
    elements d_h = this->gradient_of_o(d_out, d, here, value, d_value, h);
#pragma GCC unroll 4
    for (index_t j = 0; j < Tokens::registers; ++j) {
      E carried = g.load(w + j * lanes);
      base::template carried_of<Tokens>::pass(carried, get(a, Tokens::index(0, j)), d_h, 0, j);
      g.store(w + j * lanes, carried);
    }
    R::gate_adjoint(x, d, here, value, d_value, a, d_h * conj(earlier));
    d_value.v = d_value.v + d_h;
    R::values_adjoint(x, d, here, value, d_value);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
