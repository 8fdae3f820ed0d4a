// Weights in log space, token by token: m_t = max(m_{t-1} + log gate_t, log key_t), and gates and
// weights of keys divided by e^m. Gradients are those at fixed m, so where a problem is varied its
// m may be held.
#pragma once

#include <cmath>
#include <limits>

#include "plain_loops.hpp"

namespace support::oracle {

template <class R>
double value_of(const R& x) {
  if constexpr (requires { x.v; })
    return value_of(x.v);
  else
    return static_cast<double>(x);
}

// m before the first token of each sequence [n, H], and after every token [B, L, H].
struct log_scales {
  tensor<double> first, after;
};

template <class R>
struct token_weights {
  tensor<R> gate, key;  // [B, L, H, 1]
  log_scales m;
  tensor<double> last;  // [n, H]
};

// log_gate(b, t, h) and log_key(b, t, h); m.first is given, m.after only where it is held
template <class R, class LogGate, class LogKey>
token_weights<R> weights_of(const extents& tokens, const std::vector<int64>& offsets,
                            const log_scales& m, LogGate log_gate, LogKey log_key) {
  constexpr double never = -std::numeric_limits<double>::infinity();
  const int64 H = tokens[2];
  const extents shape{tokens[0], tokens[1], H, 1};
  token_weights<R> w{tensor<R>(shape), tensor<R>(shape), m, m.first};
  if (!m.after.given()) w.m.after = tensor<double>(tokens);
  for (const sequence& s : sequences(tokens[0], tokens[1], offsets))
    for (int64 h = 0; h < H; ++h)
      for (int64 t = s.begin; t < s.end; ++t) {
        using std::exp;
        double& last = w.last(s.state, h);
        const double before = last;
        const R gate = log_gate(s.batch, t, h), key = log_key(s.batch, t, h);
        double& after = w.m.after(s.batch, t, h);
        const bool reset = value_of(gate) == never;
        if (!m.after.given())
          after = std::max(reset ? never : before + value_of(gate), value_of(key));
        last = after;
        if (after == never) continue;  // gate and key are 0
        if (before != never && !reset) w.gate(s.batch, t, h, 0) = exp(R(before - after) + gate);
        w.key(s.batch, t, h, 0) = exp(key - R(after));
      }
  return w;
}

}  // namespace support::oracle
