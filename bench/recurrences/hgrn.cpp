#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::hgrn;

namespace {

shape hgrn_shape(index_t B, index_t L, index_t D) {
  shape s = channel_shape(B, L, D);
  s.forget = {{"log_decay", -std::numeric_limits<double>::infinity()}, {"x", 0}};
  return s;
}

const rows hgrn_rows("hgrn", [](const std::vector<int>& threads) {
  const shape tiny = hgrn_shape(2, 64, 37);
  add_runs<hgrn, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<hgrn, bf16>(threads, tiny, chunked{});

  const shape training = hgrn_shape(8, 4096, 512);
  add_runs<hgrn, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<hgrn, float>(threads, hgrn_shape(8, 1, 4096));
});

}  // namespace

}  // namespace bench
