#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::linear_attention;

namespace {

shape linear_attention_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.forget = {{"k", 0, true}};
  s.absent = {"normalise"};
  return s;
}
shape normalised(shape s) {
  s.text += "/normalised";
  s.positive = {"q", "k"};
  s.absent = {};
  return s;
}

const rows linear_attention_rows("linear_attention", [](const std::vector<int>& threads) {
  const shape tiny = linear_attention_shape(2, 64, 3, 13, 21);
  add_runs<linear_attention, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<linear_attention, bf16>(threads, tiny, chunked{});
  add_runs<linear_attention, float>(threads, normalised(tiny), recurrent{}, chunked{});

  const shape training = linear_attention_shape(1, 2048, 8, 128, 128);
  add_runs<linear_attention, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<linear_attention, float>(threads, normalised(training), chunked{});
  add_step<linear_attention, float>(threads, linear_attention_shape(1, 1, 8, 128, 128));
});

}  // namespace

}  // namespace bench
