// Inputs of `own::tied` and of what is made of it, for tests of the checkers of recurrences.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "../../examples/own_recurrences.hpp"

inline std::vector<double> some(std::int64_t n, double step) {
  std::vector<double> x(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(step * static_cast<double>(i + 1));
  return x;
}

struct tied_problem {
  static constexpr std::int64_t H = 2, K = 3, V = 5;
  std::int64_t L;
  std::vector<double> q = some(L * H * K, 0.3), f = some(L * H * K, 0.7), v = some(L * H * V, 1.1),
                      first = some(H * K * V, 0.5);

  template <class R>
  typename R::template inputs<double> inputs() const {
    typename R::template inputs<double> in;
    in.q = {q.data(), {1, L, H, K}};
    in.f = {f.data(), {1, L, H, K}};
    in.v = {v.data(), {1, L, H, V}};
    in.initial_state = {first.data(), {1, H, K, V}};
    in.lower = 0.5;
    return in;
  }
};
