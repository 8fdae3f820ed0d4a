#include "../measure.cuh"

namespace bench_cuda {

void add_mamba2(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "mamba2, B 32, L 2048, H 24, N 128, P 64, bf16",
           .recurrence = "mamba2",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 24, .keys = 128, .values = 64}},
          [&](row& r) {
            measure_passes<gatescan::mamba2, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
