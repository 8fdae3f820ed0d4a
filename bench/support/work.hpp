// Useful work: what the definition asks for (shape.hpp, `cost`), however a mode goes about it.
// Divided by the rate that limits it, it is the time of a perfect program. Where that is bandwidth,
// every operand and result goes once through memory; a step reads and writes the state once, at the
// rate of an array of its size.
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

/// bytes: of all operands and results of the pass; `single`: arithmetic in float.
inline work useful_work(pass p, const shape& s, bool single, double bytes, double state_bytes,
                        int threads) {
  const arithmetic_limits& can = arithmetic(threads);
  const double tokens = static_cast<double>(s.n.batch * s.n.time);
  const double entries = tokens * static_cast<double>(s.n.heads * s.n.keys * s.n.values);

  work w{tokens, bytes, (p == pass::backward ? s.each.backward : s.each.forward) * entries, 0, ""};
  if (p == pass::step) {
    w.bytes += 2 * state_bytes;
    w.seconds_at_limit = 2 * state_bytes / bandwidth(traffic::update, state_bytes, threads);
    w.limit = "of bandwidth";
    return w;
  }
  switch (s.each.by) {
    case limit::fma:
      w.seconds_at_limit = w.flops / (single ? can.fma_float : can.fma_double);
      w.limit = "of FMA";
      break;
    case limit::exp:  // one for each, in backward too
      w.seconds_at_limit = entries / (single ? can.exp_float : can.exp_double);
      w.limit = "of exp";
      break;
    case limit::bandwidth:
      w.seconds_at_limit = w.bytes / bandwidth(traffic::triad, w.bytes, threads);
      w.limit = "of bandwidth";
      break;
  }
  return w;
}

}  // namespace bench
