#pragma once
// What recurrences share in how they make q, k, v and gates of operands, and the output of o: to be
// inherited (members as concepts.hpp describes them) or called. `at` is a cursor, d_x the gradient
// of operand x.

#include "gated_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// For a recurrence whose value is one operand v as it stands.
struct plain_values {
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.v))>{at(x.v)};
  }
  GATESCAN_MEMBER void values_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                                      const auto& d_w) {
    at.add(d.v, d_w.v);
  }
};

/// For a recurrence whose output is the product's o as it stands, or the state h of its own `step`.
/// Not to be overridden: backward does not compute o for who inherits it.
struct plain_output {
  template <class E>
  GATESCAN_MEMBER E output(const auto&, const auto&, const auto&, E o) {
    return o;
  }
  template <class E>
  GATESCAN_MEMBER E output_adjoint(const auto&, const auto&, const auto&, const auto&, auto&, E,
                                   E d_out) {
    return d_out;
  }
  template <class E>
  GATESCAN_MEMBER void output_adjoint(const auto&, const auto&, const auto&, const auto&, auto&, E,
                                      E d_out, E& d_h) {
    d_h = d_h + d_out;
  }
};

/// For a recurrence whose output is linear in o, so that the gradient of o does not depend on o:
/// backward does not compute o where gradients of states are all that is asked for.
struct linear_output {};

/// For an average a channel whose log gate and bonus (`log_weights`) are made of operands without
/// time: a token then costs an exponential less.
struct steady_weights {};

/// For a recurrence whose output is (o + D u) silu(z), with operands D and z if they are given and
/// u a member of what `values` returns.
struct skip_and_gated_output : linear_output {
  GATESCAN_MEMBER auto output(const auto& x, const auto& at, const auto& w, auto o) {
    if (x.D.given) o = fma(at(x.D), w.u, o);
    if (x.z.given) o = o * silu(at(x.z));
    return o;
  }
  GATESCAN_MEMBER auto output_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                      auto& d_w, auto o, auto d_out) {
    if (x.z.given) {
      const auto gate = silu_with_slope(at(x.z));
      if (x.D.given) o = fma(at(x.D), w.u, o);
      at.add(d.z, d_out * o * gate.slope);
      d_out = d_out * gate.value;
    }
    if (x.D.given) {
      at.add(d.D, d_out * w.u);
      d_w.u = d_w.u + d_out * at(x.D);
    }
    return d_out;
  }
};

/// For a recurrence whose gate a state entry is e^(step A) of an operand A and of a step that does
/// not depend on the key: `values` returns it as `step` and, times log2_e, as `log2e_step`.
struct exponential_gate_of_A {
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at, const auto& w) {
    return exp_of_product(w.step, w.log2e_step, at(x.A));
  }
  GATESCAN_MEMBER auto gate_step(const auto& w) {
    return exponent_step<decltype(w.step + w.step)>{w.step, w.log2e_step};
  }
  GATESCAN_MEMBER auto gate_factor(const auto& x, const auto& at) { return at(x.A); }

  GATESCAN_MEMBER void gate_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                    auto& d_w, auto a, auto d_gate) {
    const auto d_exponent = unless_zero(a, d_gate * a);
    d_w.step = fma(d_exponent, unless_zero(a, at(x.A)), d_w.step);
    at.add(d.A, d_exponent * w.step);
  }
  GATESCAN_MEMBER void gate_step_adjoint(auto& d_w, auto d_step) { d_w.step = d_w.step + d_step; }
  GATESCAN_MEMBER void gate_factor_adjoint(const auto& d, const auto& at, auto d_factor) {
    at.add(d.A, d_factor);
  }
};

/// For a recurrence whose gate a state entry is a member `gate` of what `values` returns.
struct gate_beside_value {
  GATESCAN_MEMBER auto gate(const auto&, const auto&, const auto& w) { return w.gate; }
  GATESCAN_MEMBER void gate_adjoint(const auto&, const auto&, const auto&, const auto&, auto& d_w,
                                    auto, auto d_gate) {
    d_w.gate = d_w.gate + d_gate;
  }
};

/// What minGRU and minLSTM write, a positive number: x + 1/2 where x >= 0, else sigmoid(x).
template <class R>
GATESCAN_HD GATESCAN_INLINE with_slope<R> candidate(R x) {
  const auto s = sigmoid_with_rest(x);
  return {select_negative(x, s.value, x + R(0.5)), select_negative(x, s.value * s.rest, R(1))};
}

/// A gate that is e^(an operand), 1 where that is missing.
GATESCAN_HD GATESCAN_INLINE auto decay(const auto& at, const auto& log_decay) {
  using E = decltype(at(log_decay));
  return log_decay.given ? exp(at(log_decay)) : E(1);
}
GATESCAN_HD GATESCAN_INLINE void decay_adjoint(const auto& at, const auto& log_decay,
                                               const auto& d_log_decay, const auto& d_gate) {
  if (!log_decay.given) return;
  const auto gate = exp(at(log_decay));
  at.add(d_log_decay, unless_zero(gate, d_gate * gate));
}

/// For a recurrence whose gate is that of an operand log_decay, [.., K] or one a head, [.., 1] or
/// missing.
struct gate_of_log_decay {
  GATESCAN_MEMBER bool has_head_gate(const auto& x) {
    return x.log_decay.one_key || !x.log_decay.given;
  }
  GATESCAN_MEMBER auto without_gate(auto d) {
    d.log_decay = {};
    return d;
  }
};

/// A step size: dt + bias, where a bias is given, through softplus if asked for.
GATESCAN_HD GATESCAN_INLINE auto step_size(const auto& at, const auto& dt, const auto& bias,
                                           bool through_softplus) {
  const auto raw = bias.given ? at(dt) + at(bias) : at(dt);
  return through_softplus ? softplus(raw) : raw;
}
GATESCAN_HD GATESCAN_INLINE void step_size_adjoint(const auto& at, const auto& dt, const auto& bias,
                                                   bool through_softplus, const auto& d_dt,
                                                   const auto& d_bias, auto d_step) {
  if (through_softplus) {  // where the slope underflows, a gradient of any size counts for nothing
    const auto slope = sigmoid(bias.given ? at(dt) + at(bias) : at(dt));
    d_step = unless_zero(slope, d_step * slope);
  }
  at.add(d_dt, d_step);
  at.add(d_bias, d_step);
}

/// For a recurrence whose gate of a head is e^(step A) of an operand A, the step being that of
/// operands dt and dt_bias and switch softplus, held between options least_dt and most_dt: its
/// token stage.
struct head_gate_of_step {
  template <class E>
  struct step_and_gate {
    E step, gate;
  };
  GATESCAN_MEMBER auto token_stage(const auto& x, const auto& at) {
    using E = decltype(at(x.dt));
    const E step = clamp(step_size(at, x.dt, x.dt_bias, x.softplus), E(x.least_dt), E(x.most_dt));
    return step_and_gate<E>{step, exp(step * at(x.A))};
  }
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at, const auto& t) {
    using E = decltype(at(x.A));
    return E(t.step) * at(x.A);
  }
  GATESCAN_MEMBER void token_stage_adjoint(const auto& x, const auto& d, const auto& at,
                                           const auto& t, const auto& d_t) {
    using E = decltype(at(x.dt));
    const E s = step_size(at, x.dt, x.dt_bias, x.softplus);
    const E d_log = unless_zero(t.gate, d_t.gate * t.gate);
    E d_step = fma(d_log, unless_zero(t.gate, at(x.A)), d_t.step);
    d_step = select_negative(s - E(x.least_dt), E(0), d_step);
    d_step = select_negative(E(x.most_dt) - s, E(0), d_step);
    at.add(d.A, d_log * t.step);
    step_size_adjoint(at, x.dt, x.dt_bias, x.softplus, d.dt, d.dt_bias, d_step);
  }
};

/// For a recurrence with weights in log space.
struct log_gate_of_weights {
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  template <class X, class At, class T>
  GATESCAN_MEMBER auto log_gate(const X&, const At&, const T& t) {
    return typename At::register_type(t.log_gate);
  }
};

/// 1 / sqrt(|row|^2 + eps) of a row of keys in a token stage; 1 unless asked for.
GATESCAN_HD GATESCAN_INLINE auto inverse_length(const auto& at, const auto& row, double eps,
                                                bool asked_for) {
  using E = decltype(at(row));
  if (!asked_for) return E(1);
  const E square = at.sum_over_keys([&](const auto& here) { return here(row) * here(row); });
  return E(1) / sqrt(square + E(eps));
}
/// What the row gets from the gradient d of its inverse length r: -r^3 d row; nothing unless asked
/// for.
GATESCAN_HD GATESCAN_INLINE void inverse_length_adjoint(const auto& at, const auto& row,
                                                        const auto& d_row, auto r, auto d,
                                                        bool asked_for) {
  if (!asked_for) return;
  const auto factor = -r * r * r * at.total(d);
  at.for_each_key(
      [&](const auto& here) { here.add(d_row, here(row) * decltype(here(row))(factor)); });
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
