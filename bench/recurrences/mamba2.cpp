#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::mamba2;

namespace {

// P values and N keys a head; all heads read one B and one C.
shape mamba2_shape(index_t B, index_t L, index_t H, index_t N, index_t P) {
  shape s{{B, B, L, H, N, P},
          part("B", B) + "/" + part("L", L) + "/" + part("H", H) + "/" + part("N", N) + "/" +
              part("P", P)};
  s.forget = {{"dt", 1000}, {"x", 0}};  // exp(1000 A) is 0
  s.absent = {"dt_bias"};
  s.shared = {"B", "C"};
  return s;
}

const rows mamba2_rows("mamba2", [](const std::vector<int>& threads) {
  const shape tiny = mamba2_shape(2, 64, 3, 13, 21);
  add_runs<mamba2, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<mamba2, bf16>(threads, tiny, chunked{});

  // Mamba-2 of 130 million parameters, with softplus, skip and gate
  const shape training = mamba2_shape(1, 2048, 24, 128, 64);
  add_runs<mamba2, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<mamba2, bf16>(threads, training, chunked{});
  add_step<mamba2, float>(threads, mamba2_shape(1, 1, 24, 128, 64));
});

}  // namespace

}  // namespace bench
