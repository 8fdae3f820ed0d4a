// S7: what a head reads where operands have fewer heads.
#include <gtest/gtest.h>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 8}, {mode::attention, 0}};

// head h reads operand head h / (H / heads), with every operand grouped in its own way
TEST(quality, S7_heads_read_the_head_of_their_group) {
  const auto expand = [](tensor<double> x, int64 H) {  // [B, L, heads, n] written out for H heads
    tensor<double> r({x.extent(0), x.extent(1), H, x.extent(3)});
    for (int64 b = 0; b < r.extent(0); ++b)
      for (int64 t = 0; t < r.extent(1); ++t)
        for (int64 h = 0; h < H; ++h)
          for (int64 i = 0; i < r.extent(3); ++i) r(b, t, h, i) = x(b, t, h / (H / x.extent(2)), i);
    return r;
  };
  generator g(8);
  gla::inputs in;
  in.q = g.normals({2, 40, 12, 5});
  in.k = g.normals({2, 40, 4, 5});
  in.v = g.normals({2, 40, 6, 3});
  in.log_decay = g.log_gates({2, 40, 2, 1}, gates::mild);
  auto all = in;
  all.k = expand(in.k, 12), all.v = expand(in.v, 12), all.log_decay = expand(in.log_decay, 12);
  const auto dout = random_gradients<gla>(gla::forward(in), 9);
  const auto sum = [](const tensor<double>& x, const tensor<double>& like) {
    tensor<double> r(like.shape);
    for (int64 b = 0; b < x.extent(0); ++b)
      for (int64 t = 0; t < x.extent(1); ++t)
        for (int64 h = 0; h < x.extent(2); ++h)
          for (int64 i = 0; i < x.extent(3); ++i)
            r(b, t, h / (x.extent(2) / like.extent(2)), i) += x(b, t, h, i);
    return r;
  };
  for (const mode& m : modes) {
    SCOPED_TRACE(::testing::Message() << m);
    const auto grouped = run_forward<gla, double>(m, in), whole = run_forward<gla, double>(m, all);
    EXPECT_TRUE(same_bits(grouped.out, whole.out));
    const auto d = run_backward<gla, double>(m, in, dout),
               d_all = run_backward<gla, double>(m, all, dout);
    EXPECT_TRUE(same_bits(d.q, d_all.q));
    EXPECT_LE(relative_rms(d.k, sum(d_all.k, in.k), 0, 0), 1e-14);
    EXPECT_LE(relative_rms(d.v, sum(d_all.v, in.v), 0, 0), 1e-14);
    EXPECT_LE(relative_rms(d.log_decay, sum(d_all.log_decay, in.log_decay), 0, 0), 1e-13);
  }
}

}  // namespace
