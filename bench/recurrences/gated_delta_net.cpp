#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent;
using gatescan::bf16, support::gated_delta_net;

namespace {

// Read-out, and what is taken away and written under a key; keys and queries are of length 1.
shape delta_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.each = {6, 16, limit::fma};
  s.forget = {{"log_decay", -std::numeric_limits<double>::infinity()}, {"k", 0}};
  return s;
}
shape head_gate_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = delta_shape(B, L, H, K, V);
  s.text = "scalar_gate/" + s.text;
  s.head_gate = true;
  return s;
}

const rows delta_rows("gated_delta_net", [](const std::vector<int>& threads) {
  for (const auto& tiny : {delta_shape(2, 64, 3, 13, 21), head_gate_shape(2, 64, 3, 13, 21)}) {
    add_runs<gated_delta_net, float>(threads, tiny, recurrent{}, chunked{}, attention{});
    add_runs<gated_delta_net, bf16>(threads, tiny, chunked{});
  }
  // Gated DeltaNet, and Kimi's delta attention
  add_runs<gated_delta_net, float>(threads, head_gate_shape(1, 2048, 8, 128, 128), recurrent{},
                                   chunked{});
  add_runs<gated_delta_net, float>(threads, delta_shape(1, 2048, 8, 128, 128), recurrent{},
                                   chunked{});
  add_runs<gated_delta_net, bf16>(threads, head_gate_shape(1, 2048, 8, 128, 128), chunked{});
  add_step<gated_delta_net, float>(threads, head_gate_shape(1, 1, 8, 128, 128));
});

}  // namespace

}  // namespace bench
