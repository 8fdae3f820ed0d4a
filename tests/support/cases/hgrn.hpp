// HGRN: channels with gates exp(log_decay).
#pragma once

#include "../prologue.hpp"
#include "elementwise.hpp"

namespace support::oracle {

template <class R>
struct hgrn : prologue_of<elementwise<R>, hgrn<R>> {
  struct inputs {
    tensor<R> x, log_decay;   // [B, L, heads, D]
    tensor<R> initial_state;  // [n, H, D]
    std::vector<int64> sequence_offsets;
  };

  // f(name, operand of each structure...) for every operand
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("x", s.x...);
    f("log_decay", s.log_decay...);
    f("initial_state", s.initial_state...);
  }

  static auto core(const inputs& in) {
    return typename elementwise<R>::inputs{exponentials(in.log_decay), in.x, in.initial_state,
                                           in.sequence_offsets};
  }
  static inputs gradients(const inputs&, const auto& c, const auto& d) {
    return {d.x, through_exponentials(c.a, d.a), d.initial_state, {}};
  }
};

}  // namespace support::oracle

namespace support {

using hgrn = oracle::hgrn<double>;

template <>
struct case_of<hgrn> {
  using recurrence = gatescan::hgrn;
  static constexpr std::array<option_switch, 0> switches{};
  static void make(hgrn::inputs& in, const sizes& n, const options& c, generator& g) {
    in.x = g.normals({n.B, n.L, n.H, n.V});
    in.log_decay = g.log_gates({n.B, n.L, n.H / c.group, n.V}, c.gate);
    in.initial_state = random_state(c, g, channel_state_shape(n, c));
  }
  static void make_exact(hgrn::inputs& in, const sizes& n, const options& c, generator& g) {
    in.x = integers(g, {n.B, n.L, n.H, n.V}, 3);
    in.log_decay = zero_or_reset(g, {n.B, n.L, n.H / c.group, n.V});
    in.initial_state = exact_state(c, g, channel_state_shape(n, c));
  }
};

}  // namespace support
