#include "all.hpp"
#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, gatescan::gateloop;

void add_gateloop(const std::vector<int>& threads) {
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
}

}  // namespace bench
