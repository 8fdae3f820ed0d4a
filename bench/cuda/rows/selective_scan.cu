#include "../measure.cuh"

namespace bench_cuda {

void add_selective_scan(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "selective scan, B 32, L 2048, D 4096, N 16, bf16",
           .recurrence = "selective_scan",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 4096, .keys = 16}},
          [&](row& r) {
            measure_passes<gatescan::selective_scan, gatescan::bf16>(how, r, gatescan::chunked{},
                                                                     gatescan::scan{});
          });
}

}  // namespace bench_cuda
