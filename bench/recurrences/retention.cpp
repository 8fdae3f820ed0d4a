#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::retention;

namespace {

shape retention_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.forget = {{"k", 0, true}};
  return s;
}

const rows retention_rows("retention", [](const std::vector<int>& threads) {
  const shape tiny = retention_shape(2, 64, 3, 13, 21);
  add_runs<retention, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<retention, bf16>(threads, tiny, chunked{});

  const shape training = retention_shape(1, 2048, 8, 128, 128);
  add_runs<retention, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<retention, float>(threads, retention_shape(1, 1, 8, 128, 128));
});

}  // namespace

}  // namespace bench
