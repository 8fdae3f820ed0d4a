// The shapes that are measured, and what an axis means in them.
#pragma once

#include <gatescan/core/operand.hpp>
#include <gatescan/core/view.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

using gatescan::axes;
using gatescan::axis;
using gatescan::index_t;
using gatescan::layout;
using gatescan::sizes;

enum class limit { fma, exp, bandwidth };

// Useful flops of a state entry and token: what the definition asks for, however a mode goes about
// it; and what of the machine runs out first.
struct cost {
  double forward = 4, backward = 10;  // outer product and read-out
  limit by = limit::fma;
};

// What an operand of one token is, that all before it is forgotten and nothing new is written; or
// of all tokens before a window, where none can forget.
struct forgetting {
  std::string_view operand;
  double value;
  bool all_before = false;
};

// A problem to be measured. recurrences/NAME.cpp says all of it that is the recurrence's own.
struct shape {
  sizes n;           // as the recurrence's axes have them; heads are 1 where it has none
  std::string text;  // as in a benchmark's name
  cost each = {};
  std::vector<forgetting> forget = {};
  std::vector<std::string_view> complex = {};  // operands; with any, states are complex too
  std::vector<std::string_view> absent = {};   // operands that are not given, switches that are off
  std::vector<std::string_view> positive = {};
  std::vector<std::string_view> as_keys = {};  // operands with rows of length about 1
  std::vector<std::string_view> shared = {};   // operands of one head for all
  bool head_gate = false;                      // extent 1 of `key_or_one`

  bool is_complex() const { return !complex.empty(); }
};

inline std::string part(const char* name, index_t n) {
  return std::string(name) + ":" + std::to_string(n);
}

inline shape matrix_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  return {{B, B, L, H, K, V},
          part("B", B) + "/" + part("L", L) + "/" + part("H", H) + "/" + part("K", K) + "/" +
              part("V", V)};
}

// Channels of one number, beside each other: every operand and result once through memory.
inline shape channel_shape(index_t B, index_t L, index_t D) {
  shape s{{B, B, L, 1, 1, D}, part("B", B) + "/" + part("L", L) + "/" + part("D", D)};
  s.each = {2, 4, limit::bandwidth};
  return s;
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

// A dense layout of these axes, for an operand of all heads or of one.
inline layout dense(const axes& a, const shape& s, bool one_head = false) {
  layout x;
  x.rank = a.rank;
  index_t step = 1;
  for (int i = a.rank - 1; i >= 0; --i) {
    const bool one = (a.of[i] == axis::key_or_one && s.head_gate) ||
                     (a.of[i] == axis::head && one_head) || a.of[i] == axis::value_or_one;
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
