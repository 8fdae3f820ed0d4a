// The shapes that are measured, and what an axis means in them.
#pragma once

#include <gatescan/core/operand.hpp>
#include <gatescan/core/view.hpp>
#include <string>
#include <vector>

namespace bench {

using gatescan::axes;
using gatescan::axis;
using gatescan::index_t;
using gatescan::layout;
using gatescan::sizes;

struct shape {
  sizes n;           // elementwise: values are D; selective_scan: keys are N, values are D, heads 1
  std::string text;  // as in a benchmark's name
  bool complex = false;
  bool scalar_gate = false;  // gla: one gate a head
  bool linear_gate = false;  // `a` itself, instead of log_magnitude and phase
};

inline std::string part(const char* name, index_t n) {
  return std::string(name) + ":" + std::to_string(n);
}

inline shape elementwise_shape(index_t B, index_t L, index_t D, bool complex = false) {
  const std::string text = part("B", B) + "/" + part("L", L) + "/" + part("D", D);
  return {{B, B, L, 1, 1, D}, (complex ? "complex/" : "real/") + text, complex, false, true};
}
inline shape matrix_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  return {{B, B, L, H, K, V},
          part("B", B) + "/" + part("L", L) + "/" + part("H", H) + "/" + part("K", K) + "/" +
              part("V", V)};
}
inline shape scalar_gate_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.text = "scalar_gate/" + s.text;
  s.scalar_gate = true;
  return s;
}
inline shape gateloop_shape(index_t B, index_t L, index_t H, index_t K, index_t V,
                            bool linear = false) {
  shape s = matrix_shape(B, L, H, K, V);
  s.text = (linear ? "linear_gate/" : "polar_gate/") + s.text;
  s.complex = true;
  s.linear_gate = linear;
  return s;
}
inline shape scan_shape(index_t B, index_t L, index_t D, index_t N) {
  return {{B, B, L, 1, N, D},
          part("B", B) + "/" + part("L", L) + "/" + part("D", D) + "/" + part("N", N)};
}

inline index_t extent(const sizes& n, axis a) {
  switch (a) {
    case axis::batch:
      return n.batch;
    case axis::sequence:
      return n.sequences;
    case axis::time:
      return n.time;
    case axis::head:
      return n.heads;
    case axis::group:
      return 1;
    case axis::key:
    case axis::key_or_one:
      return n.keys;
    case axis::value:
    case axis::value_or_one:
      return n.values;
    case axis::channel:
      return n.heads * n.values;
  }
  return 0;
}

// A dense layout of these axes.
inline layout dense(const axes& a, const shape& s) {
  layout x;
  x.rank = a.rank;
  index_t step = 1;
  for (int i = a.rank - 1; i >= 0; --i) {
    const bool one = a.of[i] == axis::key_or_one && s.scalar_gate;
    x.shape[i] = one ? 1 : extent(s.n, a.of[i]);
    x.stride[i] = step;
    step *= x.shape[i];
  }
  return x;
}

inline layout without_time(const layout& x, const axes& a) {
  layout rest;
  for (int i = 0; i < x.rank; ++i) {
    if (a.of[i] == axis::time) continue;
    rest.shape[rest.rank] = x.shape[i];
    rest.stride[rest.rank++] = x.stride[i];
  }
  return rest;
}

}  // namespace bench
