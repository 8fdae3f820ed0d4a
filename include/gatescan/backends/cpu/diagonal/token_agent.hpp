#pragma once
// One token of a block of channels of a diagonal recurrence (../agents/token_agent.hpp), a register
// of channels at a time:
//
//   h = a h + k v        o = sum over keys of q h
//
// States stay where the caller has them if channels lie side by side there, and go through a copy
// else.

#include "../agents/token_agent.hpp"
#include "../operands/unit_strides.hpp"
#include "block.hpp"
#include "states_of_block.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
class diagonal_token_agent {
  using kernels = channels<R, T, IsComplex>;
  using single = typename kernels::single;
  using storage = typename kernels::storage;
  using C = typename kernels::C;
  using E = typename kernels::E;

 public:
  using format = T;
  using problem = problem_of<R, T>;

  static index_t value_blocks(const sizes& n) {
    const index_t width = diagonal_width<C>(n);
    return n.values <= width ? 1 : ceil_divide(n.values, width);
  }

  diagonal_token_agent(arena& scratch, const problem& p)
      : p_(p), states_{{p.n.keys, diagonal_width<C>(p.n)}} {
    index_t operands = 0;
    for_each_field<R>([&](const auto&) { ++operands; }, p.x);
    operands_ = scratch.take<C>(operands * states_.n.part_size());
    state_ = scratch.take<C>(states_.size());
  }

  void step(const forward_results<T>& to, index_t sequence, index_t head, index_t block) const {
    const diagonal_shape& n = states_.n;
    const index_t b = p_.batch_of(sequence), first = block * n.width;
    const index_t values = (std::min)(n.width, p_.n.values - first);
    kernels here{p_.x, n, 0, 0};
    C* dense = operands_;
    for_each_field<R>(
        [&](auto& own) {
          own.go_to_head(b, head, first);
          if (own.given && own.im == nullptr && own.value != 0 && own.value != 1)
            make_dense(own, n, values, dense);
          dense += n.part_size();
        },
        here.x);
    const auto out = to.out.of_head(b, head, first);
    const auto state = to.final_state.of_head(sequence, head, first);
    if (IsComplex || state.value == 1) return step_registers(here, values, state, out);
    operand<C> copy;
    copy.re = state_, copy.key = n.width, copy.value = 1;
    states_.load(state, 0, values, state_);
    step_registers(here, values, copy, out);
    states_.store(state, 0, values, state_);
  }

 private:
  static void step_registers(const kernels& block, index_t values, const operand<C>& state,
                             const operand<storage>& out) {
    kernels here = block;
    if (values_side_by_side<R>(here.x) && state.value == 1 && out.value == 1) {
      operand<C> dense_state = state;
      operand<storage> dense_out = out;
      here.x = with_values_side_by_side<R>(here.x);  // said so that the compiler knows
      here.in_use = kernels::lanes;
      dense_state.value = dense_out.value = 1;
      for (; here.w + kernels::lanes <= values; here.w += kernels::lanes)
        step_register(here, dense_state, dense_out);
    }
    for (; here.w < values; here.w += kernels::lanes) {
      here.in_use = static_cast<int>((std::min)(values - here.w, kernels::lanes));
      step_register(here, state, out);
    }
  }
  static GATESCAN_INLINE void step_register(const kernels& here, operand<C> state,
                                            const operand<storage>& out) {
    const auto at = [&](index_t t, index_t key) { return here.template at<single>(t, key); };
    const auto value = here.values(at(0, 0));
    E o = constant<IsComplex>(C(0));
    const index_t keys = kernels::unit_keys ? 1 : here.n.keys;
    state.time = state.key, state.key = 0;  // states are walked by keys as tokens are elsewhere
    for (index_t i = 0; i < keys; ++i) {
      stepped_state<IsComplex, C> h(at(i, 0).element(state), o);
      const E a = here.gate(at(0, i), value);
      if constexpr (kernels::unit_keys) {
        o = h.next(a, value.v);
      } else {
        const auto key = R::keys(here.x, at(0, i));
        o = fma(E(key.q), h.next(a, key.k * value.v), o);
      }
      here.write(state, i, 0, h.h, false);
    }
    if (out.given) here.write(out, 0, 0, here.output(at(0, 0), value, o), false);
  }

  const problem& p_;
  states_of_block<C, IsComplex> states_;
  C* operands_;  // dense, where they are not
  C* state_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
