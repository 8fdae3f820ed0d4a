#include "../measure.cuh"

namespace bench_cuda {

void add_gated_delta_net(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "gated delta net, B 32, L 2048, H 16, K = V = 128, bf16",
           .recurrence = "gated_delta_net",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 16, .keys = 128, .values = 128}},
          [&](row& r) {
            measure_passes<gatescan::gated_delta_net, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
