#include "../measure.cuh"

namespace bench_cuda {
namespace {

void add(const settings& how, std::vector<row>& to, const char* name, const shape& n) {
  add_row(how, to, {.name = name, .recurrence = "elementwise", .format = "F32", .size = n},
          [&](row& r) {
            measure_passes<gatescan::elementwise, float>(how, r, gatescan::chunked{},
                                                         gatescan::scan{});
          });
}

}  // namespace

void add_elementwise(const settings& how, std::vector<row>& to) {
  const shape real{.batch = 8, .time = 65536, .values = 1536};
  shape complex = real;
  complex.complex = true;
  shape interleaved = complex;
  interleaved.interleaved = true;
  add(how, to, "elementwise, B 8, L 65536, D 1536, float", real);
  add(how, to, "elementwise, B 8, L 65536, D 1536, complex64", interleaved);
  add(how, to, "elementwise, B 8, L 65536, D 1536, complex64 in two planes", complex);
  add(how, to, "elementwise, B 16, L 16384, D 128, float",
      {.batch = 16, .time = 16384, .values = 128});
}

}  // namespace bench_cuda
