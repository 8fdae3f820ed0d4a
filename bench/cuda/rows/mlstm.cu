#include "../measure.cuh"

namespace bench_cuda {

void add_mlstm(const settings& how, std::vector<row>& to) {
  add_row(how, to,
          {.name = "mlstm, B 32, L 2048, H 8, K 128, V 256, bf16",
           .recurrence = "mlstm",
           .format = "BF16",
           .size = {.batch = 32, .time = 2048, .heads = 8, .keys = 128, .values = 256}},
          [&](row& r) {
            measure_passes<gatescan::mlstm, gatescan::bf16>(how, r, gatescan::chunked{});
          });
}

}  // namespace bench_cuda
