#include "../measure.cuh"

namespace bench_cuda {

void add_gla(const settings& how, std::vector<row>& to) {
  using gatescan::gla, gatescan::bf16;
  const auto add = [&](const char* name, const shape& n) {
    add_row(how, to, {.name = name, .recurrence = "gla", .format = "BF16", .size = n},
            [&](row& r) { measure_passes<gla, bf16>(how, r, gatescan::chunked{}); });
  };
  const shape published{.batch = 32, .time = 2048, .heads = 32, .keys = 128, .values = 128};
  shape scalar = published;
  scalar.scalar_gate = true;
  add("gla, B 1, L 8192, H 96, K = V = 128, bf16",
      {.time = 8192, .heads = 96, .keys = 128, .values = 128});
  add("gla, B 32, L 2048, H 32, K = V = 128, bf16", published);
  add("gla, a gate a head, B 32, L 2048, H 32, K = V = 128, bf16", scalar);
  add_row(how, to,
          {.name = "step of gla, B 64, H 32, K = V = 128, bf16",
           .recurrence = "gla",
           .format = "BF16",
           .size = {.batch = 64, .heads = 32, .keys = 128, .values = 128}},
          [&](row& r) { measure_step<gla, bf16>(how, r); });
}

}  // namespace bench_cuda
