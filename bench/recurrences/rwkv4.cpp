#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::rwkv4;

namespace {

shape rwkv4_shape(index_t B, index_t L, index_t D) {
  shape s = channel_shape(B, L, D);
  s.forget = {{"k", -std::numeric_limits<double>::infinity(), true}};
  return s;
}

const rows rwkv4_rows("rwkv4", [](const std::vector<int>& threads) {
  const shape tiny = rwkv4_shape(2, 64, 37);
  add_runs<rwkv4, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<rwkv4, bf16>(threads, tiny, chunked{});

  const shape training = rwkv4_shape(8, 4096, 512);
  add_runs<rwkv4, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<rwkv4, float>(threads, rwkv4_shape(8, 1, 4096));
});

}  // namespace

}  // namespace bench
