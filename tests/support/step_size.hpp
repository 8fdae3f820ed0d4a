// What the oracles of Mamba's recurrences share: softplus of a step size, silu of a gate.
#pragma once

#include <cmath>

namespace support::oracle {

template <class R>
R sigmoid(const R& x) {
  using std::exp;
  if (x < R(0)) return exp(x) / (R(1) + exp(x));
  return R(1) / (R(1) + exp(-x));
}
template <class R>
R softplus(const R& x) {
  using std::exp, std::log1p;
  if (R(0) < x) return x + log1p(exp(-x));
  return log1p(exp(x));
}
template <class R>
R silu(const R& x) {
  return x * sigmoid(x);
}
template <class R>
R silu_slope(const R& x) {
  const R s = sigmoid(x);
  return s * (R(1) + x * (R(1) - s));
}

}  // namespace support::oracle
