// GLA with a few registers of values against plain loops in double. In an unnamed
// namespace: these functions are compiled with the flags of whoever includes them.
#pragma once

#include <gatescan/gatescan.hpp>

#include <cmath>
#include <vector>

namespace {

using gatescan::index_t;

// Numbers of either sign, 1 / scale at most.
std::vector<float> numbers(index_t count, int seed, float scale = 2) {
  std::vector<float> x(static_cast<std::size_t>(count));
  unsigned state = static_cast<unsigned>(seed) * 2654435761u + 1u;
  for (float& v : x) {
    state = state * 1664525u + 1013904223u;
    v = (static_cast<float>(state >> 8) / 8388608.0f - 1) / scale;
  }
  return x;
}

double number(const std::vector<float>& x, index_t i) {
  return static_cast<double>(x[static_cast<std::size_t>(i)]);
}

// A recurrence of this half's own: what calls the library's kernels is compiled here, and the
// kernels are wherever the linker found them.
struct own_gla : gatescan::gla {
  template <class V>
  struct fields : gatescan::gla::fields<V> {
    using recurrence = own_gla;
  };
  template <class T>
  using inputs = fields<gatescan::input_views<T>>;
};

double largest_error() {
  constexpr index_t L = 40, K = 5, V = 37;
  const auto q = numbers(L * K, 1), k = numbers(L * K, 2), v = numbers(L * V, 4);
  auto log_decay = numbers(L * K, 3);
  for (float& g : log_decay) g = -std::fabs(g);
  for (std::size_t i = 0; i < log_decay.size(); i += 3) log_decay[i] *= 1e3f;  // not in exp's range
  std::vector<float> out(L * V);
  own_gla::inputs<float> in;
  in.q = {q.data(), {1, L, 1, K}}, in.k = {k.data(), {1, L, 1, K}};
  in.v = {v.data(), {1, L, 1, V}}, in.log_decay = {log_decay.data(), {1, L, 1, K}};
  gatescan::forward(gatescan::cpu{.threads = 2}, gatescan::recurrent{}, in,
                    {.out = {out.data(), {1, L, 1, V}}});
  double error = 0;
  for (index_t j = 0; j < V; ++j) {
    double state[K] = {};
    for (index_t t = 0; t < L; ++t) {
      double o = 0;
      for (index_t i = 0; i < K; ++i) {
        const index_t at = t * K + i;
        state[i] =
            std::exp(number(log_decay, at)) * state[i] + number(k, at) * number(v, t * V + j);
        o += number(q, at) * state[i];
      }
      error = std::fmax(error, std::fabs(o - number(out, t * V + j)));
    }
  }
  return error;
}

bool right() { return largest_error() < 1e-5; }

}  // namespace
