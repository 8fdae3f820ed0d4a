// The attention map on a device: P v is the output of the same recurrence from an empty state.
#include "../../support/compare.hpp"
#include "../device.hpp"

namespace {

using namespace support;
using format = gatescan::device<double>;

template <class O>
void check(const sizes& n, std::int64_t sequences) {
  options c;
  c.gate = gates::resets;
  c.sequences = sequences;
  c.initial_state = false;
  const auto in = problem<O>(n, c, 180);
  stored<double> map({n.B, n.H, n.L, n.L}, false, layouts::odd, poison_nan);
  prepared<O, format> p(in, {});
  gatescan::attention_map(device_backend{}, p.lib, gatescan::view<double>(map));
  finish(device_backend{});
  EXPECT_TRUE(map.guards_intact());
  tensor<double> scores({n.B, n.H, n.L, n.L});
  map.read(scores);
  auto want = O::forward(in).out, got = want;
  for (std::int64_t b = 0; b < n.B; ++b)
    for (std::int64_t h = 0; h < n.H; ++h)
      for (std::int64_t t = 0; t < n.L; ++t)
        for (std::int64_t j = 0; j < n.V; ++j) {
          double sum = 0;
          for (std::int64_t s = 0; s < n.L; ++s) {
            const double score =
                scores.data[static_cast<std::size_t>(((b * n.H + h) * n.L + t) * n.L + s)];
            if (s > t) EXPECT_EQ(score, 0);
            sum += score * in.v.data[static_cast<std::size_t>(((b * n.L + s) * n.H + h) * n.V + j)];
          }
          got.data[static_cast<std::size_t>(((b * n.L + t) * n.H + h) * n.V + j)] = sum;
        }
  EXPECT_LE(relative_rms(got, want, 1, 0), 1e-12) << n;
}

template <class O>
void check_all() {
  for (const sizes& n : {sizes{2, 1, 2, 3, 2}, sizes{1, 17, 2, 5, 3}, sizes{2, 35, 2, 33, 1}})
    check<O>(n, 0);
  check<O>({1, 35, 2, 5, 3}, 4);
}

TEST(attention_map, times_values_is_the_output) {
  check_all<gla>();
  check_all<gateloop>();
  check_all<mlstm>();
}

}  // namespace
