#include "../measure.cuh"

namespace bench_cuda {

void add_gateloop(const settings& how, std::vector<row>& to) {
  const shape n{.time = 8192, .heads = 96, .keys = 128, .values = 128, .complex = true};
  add_row(how, to,
          {.name = "gateloop, B 1, L 8192, H 96, K = V = 128, bf16",
           .recurrence = "gateloop",
           .format = "BF16",
           .size = n},
          [&](row& r) {
            measure_passes<gatescan::gateloop, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
