#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::aaren;

namespace {

shape aaren_shape(index_t B, index_t L, index_t H, index_t V) {
  shape s = matrix_shape(B, L, H, 1, V);
  s.forget = {{"s", -std::numeric_limits<double>::infinity(), true}};
  return s;
}

const rows aaren_rows("aaren", [](const std::vector<int>& threads) {
  const shape tiny = aaren_shape(2, 64, 3, 21);
  add_runs<aaren, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<aaren, bf16>(threads, tiny, chunked{});

  const shape training = aaren_shape(1, 2048, 8, 128);
  add_runs<aaren, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<aaren, float>(threads, aaren_shape(1, 1, 8, 128));
});

}  // namespace

}  // namespace bench
