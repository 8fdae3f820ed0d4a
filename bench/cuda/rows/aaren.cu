#include "../measure.cuh"

namespace bench_cuda {

void add_aaren(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "aaren, B 32, L 2048, H 32, V 64, bf16",
           .recurrence = "aaren",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 32, .values = 64}},
          [&](row& r) {
            measure_passes<gatescan::aaren, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
