#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::min_gru;

namespace {

shape min_gru_shape(index_t B, index_t L, index_t D) {
  shape s = channel_shape(B, L, D);
  s.forget = {{"z", std::numeric_limits<double>::infinity()},
              {"h", -std::numeric_limits<double>::infinity()}};
  return s;
}

const rows min_gru_rows("min_gru", [](const std::vector<int>& threads) {
  const shape tiny = min_gru_shape(2, 64, 37);
  add_runs<min_gru, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<min_gru, bf16>(threads, tiny, chunked{});

  const shape training = min_gru_shape(8, 4096, 512);
  add_runs<min_gru, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<min_gru, float>(threads, min_gru_shape(8, 1, 4096));
});

}  // namespace

}  // namespace bench
