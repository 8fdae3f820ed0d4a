#include <limits>

#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, support::rwkv7;

namespace {

shape rwkv7_shape(index_t B, index_t L, index_t H, index_t K, index_t V) {
  shape s = matrix_shape(B, L, H, K, V);
  s.each = {8, 22, limit::fma};
  s.as_keys = {"a", "b"};  // others would let the state grow beyond all numbers
  s.forget = {{"w", -std::numeric_limits<double>::infinity()}, {"k", 0}, {"a", 0}};
  return s;
}

const rows rwkv7_rows("rwkv7", [](const std::vector<int>& threads) {
  const shape tiny = rwkv7_shape(2, 64, 3, 13, 21);
  add_runs<rwkv7, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
  add_runs<rwkv7, bf16>(threads, tiny, chunked{});

  const shape training = rwkv7_shape(1, 2048, 12, 64, 64);
  add_runs<rwkv7, float>(threads, training, recurrent{}, scan{}, chunked{});
  add_runs<rwkv7, bf16>(threads, training, chunked{});
  add_step<rwkv7, float>(threads, rwkv7_shape(1, 1, 12, 64, 64));
});

}  // namespace

}  // namespace bench
