#include "../measure.cuh"

namespace bench_cuda {

void add_rwkv4(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "rwkv4, B 32, L 2048, D 4096, bf16",
           .recurrence = "rwkv4",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 4096}},
          [&](row& r) {
            measure_passes<gatescan::rwkv4, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
