// A selective scan of a few registers against plain loops in double. In an unnamed
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

double number(const std::vector<float>& x, index_t i) { return x[static_cast<std::size_t>(i)]; }

// Flattened: this half's own code calls what is not inlined of the library, wherever that is from.
__attribute__((flatten)) double scan_error() {
  constexpr index_t L = 40, D = 37, N = 5;
  const auto u = numbers(L * D, 1), delta = numbers(L * D, 2), B = numbers(L * N, 4),
             C = numbers(L * N, 5);
  auto A = numbers(D * N, 3);
  for (float& a : A) a = -std::fabs(a) - 0.1f;
  for (std::size_t i = 0; i < A.size(); i += 3) A[i] *= 1e3f;  // exponents out of the usual range
  std::vector<float> out(L * D);
  const gatescan::selective_scan::inputs<float> in{.u = {u.data(), {1, L, D}},
                                                   .delta = {delta.data(), {1, L, D}},
                                                   .A = {A.data(), {D, N}},
                                                   .B = {B.data(), {1, L, N}},
                                                   .C = {C.data(), {1, L, N}},
                                                   .softplus = true};
  gatescan::forward(gatescan::cpu{.threads = 2}, gatescan::recurrent{}, in,
                    {.out = {out.data(), {1, L, D}}});
  double error = 0;
  for (index_t d = 0; d < D; ++d) {
    double h[N] = {};
    for (index_t t = 0; t < L; ++t) {
      const double step = std::log1p(std::exp(number(delta, t * D + d)));
      double y = 0;
      for (index_t n = 0; n < N; ++n) {
        h[n] = std::exp(step * number(A, d * N + n)) * h[n] +
               step * number(B, t * N + n) * number(u, t * D + d);
        y += h[n] * number(C, t * N + n);
      }
      error = std::fmax(error, std::fabs(y - number(out, t * D + d)));
    }
  }
  return error;
}

bool right() { return scan_error() < 1e-5; }

}  // namespace
