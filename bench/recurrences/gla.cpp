#include "all.hpp"
#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, gatescan::gla, gatescan::wide;

void add_gla(const std::vector<int>& threads) {
  const shape tiny = matrix_shape(2, 64, 3, 13, 21);
  add_runs<gla, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<gla, bf16>(threads, tiny, chunked{});
  add_runs<gla, wide<float>>(threads, tiny, chunked{});
  add_runs<gla, float>(threads, scalar_gate_shape(2, 64, 3, 13, 21), chunked{});

  const shape training = matrix_shape(1, 2048, 8, 128, 128);
  add_runs<gla, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<gla, double>(threads, training, chunked{});
  add_runs<gla, bf16>(threads, training, chunked{});
  add_runs<gla, wide<float>>(threads, training, chunked{});
  add_runs<gla, float>(threads, matrix_shape(1, 512, 8, 128, 128), attention{});
  add_runs<gla, float>(threads, matrix_shape(1, 2048, 12, 64, 64), recurrent{}, scan{}, chunked{});
  // simple GLA and Mamba-2's core: one gate a head
  add_runs<gla, float>(threads, scalar_gate_shape(1, 2048, 24, 128, 64), recurrent{}, chunked{});

  for (const index_t heads : {8, 64}) {
    add_step<gla, float>(threads, matrix_shape(1, 1, heads, 128, 128));
    add_step<gla, bf16>(threads, matrix_shape(1, 1, heads, 128, 128));
  }
}

}  // namespace bench
