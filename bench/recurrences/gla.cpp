#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, gatescan::wide, support::gla;

namespace {

shape gla_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.forget = {{"log_decay", -std::numeric_limits<double>::infinity()}, {"k", 0}};
  return s;
}
shape scalar_gate_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = gla_shape(B, L, H, K, V);
  s.text = "scalar_gate/" + s.text;
  s.head_gate = true;
  return s;
}

const rows gla_rows("gla", [](const std::vector<int>& threads) {
  const shape tiny = gla_shape(2, 64, 3, 13, 21);
  add_runs<gla, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<gla, bf16>(threads, tiny, chunked{});
  add_runs<gla, wide<float>>(threads, tiny, chunked{});
  add_runs<gla, float>(threads, scalar_gate_shape(2, 64, 3, 13, 21), chunked{});

  const shape training = gla_shape(1, 2048, 8, 128, 128);
  add_runs<gla, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<gla, double>(threads, training, chunked{});
  add_runs<gla, bf16>(threads, training, chunked{});
  add_runs<gla, wide<float>>(threads, training, chunked{});
  add_runs<gla, float>(threads, gla_shape(1, 512, 8, 128, 128), attention{});
  add_runs<gla, float>(threads, gla_shape(1, 2048, 12, 64, 64), recurrent{}, scan{}, chunked{});
  // simple GLA and Mamba-2's core: one gate a head
  add_runs<gla, float>(threads, scalar_gate_shape(1, 2048, 24, 128, 64), recurrent{}, chunked{});

  for (const index_t heads : {8, 64}) {
    add_step<gla, float>(threads, gla_shape(1, 1, heads, 128, 128));
    add_step<gla, bf16>(threads, gla_shape(1, 1, heads, 128, 128));
  }
});

}  // namespace

}  // namespace bench
