#include "support/small_work.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16;

namespace {

// Every operand and result once through memory: 12 bytes a real float element forward, 20 backward.
shape elementwise_shape(index_t B, index_t L, index_t D, bool complex = false) {
  shape s = channel_shape(B, L, D);
  s.text = (complex ? "complex/" : "real/") + s.text;
  s.forget = {{"a", 0}, {"x", 0}};
  if (complex) s.each = {8, 16, limit::bandwidth}, s.complex = {"a", "x"};
  return s;
}

// What a user would write instead, on dense operands.
void plain_loop(operands<gatescan::elementwise, float>& x) {
  const float *a = x.in.a.re, *in = x.in.x.re;
  float *h = x.outputs.final_state.re, *out = x.outputs.out.re;
  for (index_t j = 0; j < x.s.n.values; ++j) out[j] = h[j] = a[j] * h[j] + in[j];
}

template <class elementwise>
void add_elementwise(const std::vector<int>& threads, bool complex) {
  const shape tiny = elementwise_shape(2, 64, 37, complex);
  add_runs<elementwise, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<elementwise, bf16>(threads, tiny, chunked{});

  const shape training = elementwise_shape(8, 4096, 512, complex);
  add_runs<elementwise, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<elementwise, bf16>(threads, training, chunked{});
  add_runs<elementwise, float>(threads, elementwise_shape(1, 512, 512, complex), attention{});
  add_step<elementwise, float>(threads, elementwise_shape(8, 1, 4096, complex));
}

const rows elementwise("elementwise", [](const std::vector<int>& threads) {
  add_elementwise<support::real_elementwise>(threads, false);
  add_elementwise<support::complex_elementwise>(threads, true);
  // few channels and much time: only time can run in parallel
  add_runs<support::real_elementwise, float>(threads, elementwise_shape(1, 1 << 20, 16),
                                             recurrent{}, scan{}, chunked{});
  add_small_step<support::real_elementwise, float>(elementwise_shape(1, 1, 64), plain_loop);
});

}  // namespace

}  // namespace bench
