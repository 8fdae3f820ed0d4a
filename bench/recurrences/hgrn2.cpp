#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::hgrn2;

namespace {

shape hgrn2_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.forget = {{"f", -std::numeric_limits<double>::infinity()}, {"i", 0}};
  s.absent = {"lower_bound"};
  return s;
}

const rows hgrn2_rows("hgrn2", [](const std::vector<int>& threads) {
  const shape tiny = hgrn2_shape(2, 64, 3, 13, 21);
  add_runs<hgrn2, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<hgrn2, bf16>(threads, tiny, chunked{});

  const shape training = hgrn2_shape(1, 2048, 8, 128, 128);
  add_runs<hgrn2, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<hgrn2, float>(threads, hgrn2_shape(1, 1, 8, 128, 128));
});

}  // namespace

}  // namespace bench
