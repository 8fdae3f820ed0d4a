// Useful work: what the definition asks for, however a mode goes about it. Divided by the rate that
// limits it, it is the time of a perfect program.
//
//   elementwise          every operand and result once through memory: 12 bytes a real float
//                        element forward, 20 backward
//   gla, gateloop        outer product and read-out: 4 K V flops a token and head forward, 10 K V
//                        backward; twice that with a complex state
//   selective_scan       one exp a state entry and token; backward needs them too
//   step                 the state read and written once, at the rate of an array of its size
#pragma once

#include "limits.hpp"
#include "operands.hpp"

namespace bench {

enum class pass { forward, backward, step };

inline const char* name(pass p) {
  return p == pass::forward ? "forward" : p == pass::backward ? "backward" : "step";
}

struct work {
  double tokens = 0, bytes = 0, flops = 0;
  double seconds_at_limit = 0;
  const char* limit = "";
};

/// bytes: of all operands and results of the pass.
template <class R, class T>
work useful_work(pass p, const sizes& n, bool complex, double bytes, double state_bytes,
                 int threads) {
  constexpr bool single = sizeof(gatescan::state_t<T>) == 4;
  const arithmetic_limits& can = arithmetic(threads);
  const double tokens = static_cast<double>(n.batch * n.time);
  const double entries = tokens * static_cast<double>(n.heads * n.keys * n.values);
  const double planes = complex ? 2 : 1;

  work w{tokens, bytes, 0, 0, ""};
  if (p == pass::step) w.bytes += 2 * state_bytes;
  if constexpr (R::form.gate != gatescan::gate_span::entry) {
    w.flops = (p == pass::backward ? 10 : 4) * planes * entries;
    w.seconds_at_limit = w.flops / (single ? can.fma_float : can.fma_double);
    w.limit = "of FMA";
  } else if constexpr (R::out_axes.has(axis::channel)) {  // h = a h + (s B) u, y += C h
    w.flops = (p == pass::backward ? 12 : 6) * entries;
    w.seconds_at_limit = entries / (single ? can.exp_float : can.exp_double);
    w.limit = "of exp";
  } else {
    w.flops = (p == pass::backward ? 2 : 1) * (complex ? 8 : 2) * entries;
    w.seconds_at_limit = w.bytes / bandwidth(traffic::triad, w.bytes, threads);
    w.limit = "of bandwidth";
  }
  if (p == pass::step) {
    w.seconds_at_limit = 2 * state_bytes / bandwidth(traffic::update, state_bytes, threads);
    w.limit = "of bandwidth";
  }
  return w;
}

}  // namespace bench
