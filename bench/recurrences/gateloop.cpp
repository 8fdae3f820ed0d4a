#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::gateloop;

namespace {

// A complex state: twice the flops of a real one.
shape gateloop_shape(index_t B, index_t L, index_t H, index_t K, index_t V, bool linear = false) {
  shape s = matrix_shape(B, L, H, K, V);
  s.text = (linear ? "linear_gate/" : "polar_gate/") + s.text;
  s.each = {8, 20, limit::fma};
  s.forget = {{"log_magnitude", -std::numeric_limits<double>::infinity()}, {"a", 0}, {"k", 0}};
  s.complex = {"q", "k", "a"};
  if (linear)
    s.absent = {"log_magnitude", "phase"};
  else
    s.absent = {"a"};
  return s;
}

const rows gateloop_rows("gateloop", [](const std::vector<int>& threads) {
  for (const bool linear : {false, true}) {
    const shape tiny = gateloop_shape(2, 64, 3, 13, 21, linear);
    add_runs<gateloop, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
    add_runs<gateloop, bf16>(threads, tiny, chunked{});
    add_runs<gateloop, float>(threads, gateloop_shape(1, 2048, 12, 64, 64, linear), recurrent{},
                              scan{}, chunked{});
  }
  add_runs<gateloop, bf16>(threads, gateloop_shape(1, 2048, 12, 64, 64), chunked{});
  add_runs<gateloop, float>(threads, gateloop_shape(1, 512, 12, 64, 64), attention{});
  add_runs<gateloop, float>(threads, gateloop_shape(1, 2048, 512, 1, 1), chunked{});  // max-heads
  add_step<gateloop, float>(threads, gateloop_shape(1, 1, 12, 64, 64));
});

}  // namespace

}  // namespace bench
