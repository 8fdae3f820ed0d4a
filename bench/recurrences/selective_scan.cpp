#include <cmath>

#include "support/small_work.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::selective_scan;

namespace {

// h = a h + (s B) u, y += C h; one exp a state entry and token, and backward needs them too.
shape scan_shape(index_t B, index_t L, index_t D, index_t N) {
  shape s{{B, B, L, 1, N, D},
          part("B", B) + "/" + part("L", L) + "/" + part("D", D) + "/" + part("N", N)};
  s.each = {6, 12, limit::exp};
  s.forget = {{"delta", 1000}, {"u", 0}};  // exp(1000 A) is 0
  s.absent = {"delta_bias"};
  return s;
}

// What a user would write instead, on dense operands of one token.
void plain_loop(operands<gatescan::selective_scan, float>& x) {
  const auto& in = x.in;
  const index_t N = x.s.n.keys;
  for (index_t d = 0; d < x.s.n.values; ++d) {
    const float delta = in.delta.data[d], step = delta > 20 ? delta : std::log1p(std::exp(delta));
    float* h = x.outputs.final_state.data + d * N;
    float y = in.D.data[d] * in.u.data[d];
    for (index_t i = 0; i < N; ++i) {
      h[i] = std::exp(step * in.A.data[d * N + i]) * h[i] + step * in.B.data[i] * in.u.data[d];
      y += in.C.data[i] * h[i];
    }
    x.outputs.out.data[d] = y * in.z.data[d] / (1 + std::exp(-in.z.data[d]));
  }
}

const rows selective_scan_rows("selective_scan", [](const std::vector<int>& threads) {
  const shape tiny = scan_shape(2, 64, 37, 5);
  add_runs<selective_scan, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<selective_scan, bf16>(threads, tiny, chunked{});

  // Mamba-1 of 130 million parameters, with softplus, skip and gate
  const shape training = scan_shape(1, 2048, 1536, 16);
  add_runs<selective_scan, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<selective_scan, bf16>(threads, training, chunked{});
  add_runs<selective_scan, float>(threads, scan_shape(1, 256, 1536, 16), attention{});
  add_step<selective_scan, float>(threads, scan_shape(8, 1, 1536, 16));
  add_small_step<selective_scan, float>(scan_shape(1, 1, 64, 16), plain_loop);
});

}  // namespace

}  // namespace bench
