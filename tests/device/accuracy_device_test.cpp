// Sums of a million terms in double keep their digits on the device too, as tests/properties/
// accuracy_test.cpp has it for the CPU.
#include <cmath>

#include "../support/compare.hpp"
#include "emulated_formats.hpp"

namespace {

using namespace support;

constexpr int64 million = int64{1} << 20;

// max_t |h_t - h*_t| / S_t, S_t = |a_t| S_{t-1} + |x_t|
double conditioned_error(const tensor<double>& got, const real_elementwise::inputs& in) {
  long double h = 0, size = 0, worst = 0;
  for (std::size_t t = 0; t < got.data.size(); ++t) {
    const long double a = in.a.data[t], x = in.x.data[t];
    h = a == 0 ? x : a * h + x;
    size = std::fabs(a) * size + std::fabs(x);
    if (size > 0) worst = std::max(worst, std::fabs(got.data[t] - h) / size);
  }
  return static_cast<double>(worst);
}

TEST(accuracy_device, double_over_a_million_steps) {
  for (const gates gate : {gates::near_one, gates::one})
    for (const bool positive : {false, true}) {
      generator g(120);
      real_elementwise::inputs in;
      in.a = g.linear_gates({1, million, 1, 1}, gate);
      in.x = positive ? g.uniforms({1, million, 1, 1}, 0, 1) : g.normals({1, million, 1, 1});
      for (const mode& m : {mode{mode::scan, 0}, mode{mode::chunked, 0}})
        EXPECT_LE(conditioned_error(run_forward<real_elementwise, double>(m, in).out, in), 1e-15)
            << m << " gates " << gate << (positive ? ", x > 0" : "");
    }
}

}  // namespace
