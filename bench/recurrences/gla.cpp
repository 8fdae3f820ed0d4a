#include <cmath>
#include <limits>

#include "support/small_work.hpp"

namespace bench {

using gatescan::attention, gatescan::automatic, gatescan::chunked, gatescan::recurrent,
    gatescan::scan;
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

// Mamba-2's core: heads of one group read the same q and k.
shape one_group_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = scalar_gate_shape(B, L, H, K, V);
  s.text = "one_group/" + s.text;
  s.shared = {"q", "k"};
  return s;
}

// What a user would write instead, on dense operands.
void plain_loop(operands<gatescan::gla, float>& x) {
  const sizes& n = x.s.n;
  const auto scale = static_cast<float>(x.in.scale);
  for (index_t bt = 0; bt < n.batch * n.time; ++bt)
    for (index_t h = 0; h < n.heads; ++h) {
      const index_t keys = (bt * n.heads + h) * n.keys, values = (bt * n.heads + h) * n.values;
      const float *q = x.in.q.data + keys, *k = x.in.k.data + keys, *v = x.in.v.data + values;
      const float* g = x.in.log_decay.data + keys;
      float* o = x.outputs.out.data + values;
      float* S = x.outputs.final_state.data + (bt / n.time * n.heads + h) * n.keys * n.values;
      for (index_t j = 0; j < n.values; ++j) o[j] = 0;
      for (index_t i = 0; i < n.keys; ++i) {
        const float a = std::exp(g[i]), query = scale * q[i];
        for (index_t j = 0; j < n.values; ++j) {
          float& s = S[i * n.values + j];
          s = a * s + k[i] * v[j];
          o[j] += query * s;
        }
      }
    }
}

const rows gla_rows("gla", [](const std::vector<int>& threads) {
  const shape tiny = gla_shape(2, 64, 3, 13, 21);
  add_runs<gla, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<gla, bf16>(threads, tiny, chunked{});
  add_runs<gla, wide<float>>(threads, tiny, chunked{});
  add_runs<gla, float>(threads, scalar_gate_shape(2, 64, 3, 13, 21), chunked{});
  add_runs<gla, float>(threads, one_group_shape(2, 64, 3, 13, 21), chunked{});

  const shape training = gla_shape(1, 2048, 8, 128, 128);
  add_runs<gla, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<gla, double>(threads, training, chunked{});
  add_runs<gla, bf16>(threads, training, chunked{});
  add_runs<gla, wide<float>>(threads, training, chunked{});
  add_runs<gla, float>(threads, gla_shape(1, 512, 8, 128, 128), attention{});
  add_runs<gla, float>(threads, gla_shape(1, 2048, 12, 64, 64), recurrent{}, scan{}, chunked{});
  // simple GLA and Mamba-2's core: one gate a head
  add_runs<gla, float>(threads, scalar_gate_shape(1, 2048, 24, 128, 64), recurrent{}, chunked{});
  add_runs<gla, float>(threads, one_group_shape(1, 2048, 24, 128, 64), chunked{});

  for (const index_t heads : {8, 64}) {
    add_step<gla, float>(threads, gla_shape(1, 1, heads, 128, 128));
    add_step<gla, bf16>(threads, gla_shape(1, 1, heads, 128, 128));
  }
  add_small_step<gla, float>(gla_shape(1, 1, 4, 16, 16), plain_loop);
  for (const shape& s : {gla_shape(1, 32, 2, 8, 8), gla_shape(64, 32, 4, 16, 16)})
    add_small_runs<gla, float>(s, plain_loop, recurrent{}, chunked{}, automatic{});
});

}  // namespace

}  // namespace bench
