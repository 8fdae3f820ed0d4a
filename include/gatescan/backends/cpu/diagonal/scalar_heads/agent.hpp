#pragma once
// Matrix states of one key and one value (GateLoop's max-heads form): heads lie along the lanes as
// channels do, in all modes token by token and in double, so that products of any number of gates
// are as exact as modes promise of floats. Memory and the gates' elementary functions are most of
// the work.
//
//   h_t = a_t h_{t-1} + k_t v_t        o_t = Re(q_t h_t)

#include <algorithm>
#include <type_traits>

#include "../../agents/agent_of_channels.hpp"
#include "../../simd/planes.hpp"
#include "../states.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The `values` of its problem are the heads of the recurrence's. With RoundsStates the
/// caller's states are floats.
template <class R, class T, kernel_form Form, bool RoundsStates>
class scalar_heads_agent : public agent_of_channels<R, T> {
  using base = agent_of_channels<R, T>;
  using base::x_;

 public:
  using typename base::C;
  using typename base::problem;
  using typename base::storage;
  using typename base::tiles_of_gradients;

  static constexpr bool complex = R::form.number == numbers::complex;
  static constexpr kernel_form form = Form;
  static constexpr bool scans = false, adjoint_scans = false;
  static_assert(std::is_base_of_v<plain_values, R> && std::is_base_of_v<plain_output, R> &&
                std::is_same_v<C, double>);

  static index_t value_blocks(const sizes& n) { return ceil_divide(n.values, width); }
  static schedule adapt(schedule how) {
    how.forward_chunk = how.backward_chunk = chunk;
    return how;
  }

  scalar_heads_agent(arena& scratch, const problem& p, const schedule&, bool backward)
      : base(p, width) {
    if (!backward) return;
    history_ = scratch.take<C>((chunk + 1) * state_size());
    gates_ = scratch.take<C>(chunk * state_size());
  }

  index_t state_size() const { return complex ? 2 * width : width; }
  index_t key_pitch() const { return 1; }

  template <class S>
  void load_state(const operand<S>& from, C* to) const {
    fill(to, state_size(), C(0));
    if (!from.given) return;
    const index_t at = this->place_of_state(from);
    copy_numbers(to, 1, from.re + at, from.value, this->value_count());
    if (complex && from.im != nullptr)
      copy_numbers(to + width, 1, from.im + at, from.value, this->value_count());
  }
  void store_state(const operand<C>& to, const C* from) const {
    if (!to.given) return;
    const index_t at = this->place_of_state(to);
    copy_numbers(to.re + at, to.value, from, 1, this->value_count());
    if (complex && to.im != nullptr)
      copy_numbers(to.im + at, to.value, from + width, 1, this->value_count());
  }
  gradient_tile<C> state_tile(C* g) const {
    return {g, complex ? g + width : nullptr, 0, width, 1, true};
  }

  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) const {
    const operands_type x = held(x_);
    const operand<storage> result = this->here(to.out);
    copy_numbers(out, in, state_size());
    for_each(t, count, [&](const place& at) {
      const auto key = R::keys(x, at);
      const E h = next(key, R::values(x, at).v, load(out, at.value));
      store(out, at.value, h);
      if (result.given)
        simd::store(result.re + at.t * result.time + at.value * result.value, result.value,
                    at.count, real_part(key.q * h));
    });
  }
  void advance(index_t t, index_t count, const C* in, C* out) const {
    const operands_type x = held(x_);
    copy_numbers(out, in, state_size());
    for_each(t, count, [&](const place& at) {
      store(out, at.value, next(R::keys(x, at), R::values(x, at).v, load(out, at.value)));
    });
  }
  template <class Bracket>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& into, index_t t,
              index_t count, const C* in, C* g, const Bracket& bracket) const {
    const operands_type x = held(x_);
    const operand<const storage> d_out = this->here(results.out);
    const index_t size = state_size();
    copy_numbers(history_, in, size);
    for_each(t, count, [&](const place& at) {
      const auto key = R::keys(x, at);
      C* const before = history_ + (at.t - t) * size;
      store(before + size, at.value, next(key, R::values(x, at).v, load(before, at.value)));
      store(gates_ + (at.t - t) * size, at.value, key.gate);
    });
    for (index_t first = (count - 1) / subchunk_tokens * subchunk_tokens; first >= 0;
         first -= subchunk_tokens) {
      const index_t last = std::min<index_t>(first + subchunk_tokens, count);
      bracket.open(t + first, last - first);
      const tiles_of_gradients d = held(into);
      for (index_t i = last - 1; i >= first; --i)
        for_each(t + i, 1, [&](place at) {
          at.tile_t = i - first;
          const auto key = R::keys(x, at);
          auto w = R::values(x, at);
          C* const before = history_ + i * size;
          const register_type d_o = d_out.given
                                        ? simd::first_lanes(at(d_out), at.count, register_type(0))
                                        : register_type(0);
          const E a = load(gates_ + i * size, at.value);
          const E d_h = load(g, at.value) + conj(key.q) * d_o;
          R::keys_adjoint(x, d, at,
                          keys_of<E>{conj(load(before + size, at.value)) * d_o, d_h * w.v,
                                     d_h * conj(load(before, at.value))});
          auto d_w = w;
          d_w.v = real_part(conj(key.k) * d_h);
          R::values_adjoint(x, d, at, w, d_w);
          store(g, at.value, kept(reset_to(a, constant<complex>(C(0)), conj(a) * d_h)));
        });
      bracket.close(t + first, last - first);
    }
    return g;
  }

 private:
  static constexpr index_t lanes = simd::lanes<C>;
  static constexpr index_t width = tuning.scalar_heads_width;
  static constexpr index_t chunk = tuning.scalar_heads_chunk;
  using register_type = simd::pack<C>;
  using E = element_t<C, complex>;
  using operands_type = operands_of<R, T>;
  using place = cursor<C, complex, along::values>;

  // f(place) for every register of channels of tokens [t, t + count)
  template <class F>
  void for_each(index_t t, index_t count, F&& f) const {
    const index_t channels = this->value_count();
    for (index_t i = t; i < t + count; ++i)
      for (index_t j = 0; j < channels; j += lanes)
        f(place{i, 0, j, static_cast<int>((std::min)(lanes, channels - j))});
  }
  GATESCAN_INLINE E next(const keys_of<E>& key, register_type v, E h) const {
    return kept(stepped_state<complex, C>(h, constant<complex>(C(0))).next(key.gate, key.k * v));
  }
  // What goes on to the next token: in recurrent mode what the caller's format can hand on from
  // call to call, so that pieces of a sequence are the sequence.
  static GATESCAN_INLINE E kept(E x) {
    if constexpr (RoundsStates && Form == kernel_form::steps)
      return as_float(x);
    else
      return x;
  }
  static GATESCAN_INLINE register_type as_float(register_type x) {
    typedef float floats __attribute__((vector_size(sizeof(float) * lanes)));
    return {__builtin_convertvector(__builtin_convertvector(x.v, floats),
                                    typename register_type::native)};
  }
  static GATESCAN_INLINE cplx<register_type> as_float(cplx<register_type> x) {
    return {as_float(x.re), as_float(x.im)};
  }
  static GATESCAN_INLINE E load(C* from, index_t at) {
    return planes<C, complex>(from, width).load(at);
  }
  static GATESCAN_INLINE void store(C* to, index_t at, E x) {
    planes<C, complex>(to, width).store(at, x);
  }

  C *history_ = nullptr, *gates_ = nullptr;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
