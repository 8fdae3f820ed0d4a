#include "../measure.cuh"

namespace bench_cuda {

void add_rwkv7(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "rwkv7, B 32, L 2048, H 32, K = V = 64, bf16",
           .recurrence = "rwkv7",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 32, .keys = 64, .values = 64}},
          [&](row& r) {
            measure_passes<gatescan::rwkv7, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
