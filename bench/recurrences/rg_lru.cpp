#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::rg_lru;

namespace {

shape rg_lru_shape(index_t B, index_t L, index_t D) {
  shape s = channel_shape(B, L, D);
  s.forget = {{"x", 0, true}};
  return s;
}

const rows rg_lru_rows("rg_lru", [](const std::vector<int>& threads) {
  const shape tiny = rg_lru_shape(2, 64, 37);
  add_runs<rg_lru, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<rg_lru, bf16>(threads, tiny, chunked{});

  const shape training = rg_lru_shape(8, 4096, 512);
  add_runs<rg_lru, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<rg_lru, float>(threads, rg_lru_shape(8, 1, 4096));
});

}  // namespace

}  // namespace bench
