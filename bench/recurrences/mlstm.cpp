#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::mlstm;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

shape mlstm_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.forget = {{"i", -infinity, false}, {"f", -infinity, false}};
  return s;
}

const rows mlstm_rows("mlstm", [](const std::vector<int>& threads) {
  const shape tiny = mlstm_shape(2, 64, 3, 13, 21);
  add_runs<mlstm, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<mlstm, bf16>(threads, tiny, chunked{});

  const shape training = mlstm_shape(1, 2048, 4, 128, 256);
  add_runs<mlstm, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_step<mlstm, float>(threads, mlstm_shape(1, 1, 4, 128, 256));
});

}  // namespace

}  // namespace bench
