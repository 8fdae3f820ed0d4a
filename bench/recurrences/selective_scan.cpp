#include "all.hpp"
#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, gatescan::selective_scan;

void add_selective_scan(const std::vector<int>& threads) {
  const shape tiny = scan_shape(2, 64, 37, 5);
  add_runs<selective_scan, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<selective_scan, bf16>(threads, tiny, chunked{});

  // Mamba-1 of 130 million parameters, with softplus, skip and gate
  const shape training = scan_shape(1, 2048, 1536, 16);
  add_runs<selective_scan, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<selective_scan, bf16>(threads, training, chunked{});
  add_runs<selective_scan, float>(threads, scan_shape(1, 256, 1536, 16), attention{});
  add_step<selective_scan, float>(threads, scan_shape(8, 1, 1536, 16));
}

}  // namespace bench
