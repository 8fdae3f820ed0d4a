#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::min_lstm;

namespace {

shape min_lstm_shape(index_t B, index_t L, index_t D) {
  shape s = channel_shape(B, L, D);
  s.forget = {{"f", -std::numeric_limits<double>::infinity()},
              {"h", -std::numeric_limits<double>::infinity()}};
  return s;
}

const rows min_lstm_rows("min_lstm", [](const std::vector<int>& threads) {
  const shape tiny = min_lstm_shape(2, 64, 37);
  add_runs<min_lstm, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<min_lstm, bf16>(threads, tiny, chunked{});

  const shape training = min_lstm_shape(8, 4096, 512);
  add_runs<min_lstm, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<min_lstm, float>(threads, min_lstm_shape(8, 1, 4096));
});

}  // namespace

}  // namespace bench
