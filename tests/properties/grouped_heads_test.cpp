// S7: what a head reads where operands have fewer heads.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

const std::vector<mode> modes{
    {mode::recurrent, 0}, {mode::scan, 0}, {mode::chunked, 8}, {mode::attention, 0}};

// [B, L, heads, n] written out for H heads
tensor<double> expand(const tensor<double>& x, int64 H) {
  tensor<double> r({x.extent(0), x.extent(1), H, x.extent(3)});
  for (int64 b = 0; b < r.extent(0); ++b)
    for (int64 t = 0; t < r.extent(1); ++t)
      for (int64 h = 0; h < H; ++h)
        for (int64 i = 0; i < r.extent(3); ++i) r(b, t, h, i) = x(b, t, h / (H / x.extent(2)), i);
  return r;
}

// the sum over heads that read one head of `like`
tensor<double> sum(const tensor<double>& x, const tensor<double>& like) {
  tensor<double> r(like.shape);
  for (int64 b = 0; b < x.extent(0); ++b)
    for (int64 t = 0; t < x.extent(1); ++t)
      for (int64 h = 0; h < x.extent(2); ++h)
        for (int64 i = 0; i < x.extent(3); ++i)
          r(b, t, h / (x.extent(2) / like.extent(2)), i) += x(b, t, h, i);
  return r;
}

// head h reads operand head h / (H / heads), with every operand grouped in its own way
TEST(quality, S7_heads_read_the_head_of_their_group) {
  generator g(8);
  gla::inputs in;
  in.q = g.normals({2, 40, 12, 5});
  in.k = g.normals({2, 40, 4, 5});
  in.v = g.normals({2, 40, 6, 3});
  in.log_decay = g.log_gates({2, 40, 2, 1}, gates::mild);
  auto all = in;
  all.k = expand(in.k, 12), all.v = expand(in.v, 12), all.log_decay = expand(in.log_decay, 12);
  const auto dout = random_gradients<gla>(gla::forward(in), 9);
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

// Heads that read one head by a stride of 0, as those of a batch do by theirs, are heads of a
// group: what a chunk's pairs have in common is made once for such heads, or not at all.
void expect_like_dense(int64 B, int64 H, int64 L) {
  const int64 K = 21, V = 11;
  generator g(14);
  const tensor<double> q = g.normals({1, L, 1, K}), k = g.normals({1, L, 1, K});
  gla::inputs in;
  in.v = g.normals({B, L, H, V});
  in.log_decay = g.log_gates({B, L, H, 1}, gates::mild);
  in.q = tensor<double>({B, L, H, K}), in.k = in.q;
  for (int64 b = 0; b < B; ++b)
    for (int64 t = 0; t < L; ++t)
      for (int64 h = 0; h < H; ++h)
        for (int64 i = 0; i < K; ++i)
          in.q(b, t, h, i) = q(0, t, 0, i), in.k(b, t, h, i) = k(0, t, 0, i);
  for (const mode& m : {mode{mode::chunked, 32}, mode{mode::scan, 2}, mode{mode::attention, 0}})
    for (const int threads : {1, 2, 3}) {
      settings how;
      how.threads = threads;
      const auto dense = run_forward<gla, double>(m, in, how).out;
      const prepared<gla, double> whole(in, how);
      auto views = whole.lib;
      const gatescan::layout apart({B, L, H, K}, {0, K, 0, 1});
      views.q = {q.data.data(), apart}, views.k = {k.data.data(), apart};
      std::vector<double> out(dense.data.size());
      with_mode<gla>(m, [&](const auto& mode) {
        gatescan::forward(gatescan::cpu{.threads = threads}, mode, views,
                          {.out = {out.data(), {B, L, H, V}}});
      });
      for (std::size_t i = 0; i < out.size(); ++i)
        ASSERT_NEAR(out[i], dense.data[i], 1e-12) << m << ", threads " << threads;
    }
}
TEST(quality, S7_heads_of_stride_0_are_a_group) {
  expect_like_dense(1, 6, 75);
  expect_like_dense(3, 1, 25);  // a chunk a sequence, the same keys again
  expect_like_dense(2, 4, 25);
}

// Heads with one gate each that share both queries and keys go back together, some at a time: what
// is a head's alone has the bits that it has alone, and NaN of one head is where its own is.
TEST(quality, S7_heads_that_share_queries_and_keys_go_back_together) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const double odd : {0.5, -infinity, std::numeric_limits<double>::quiet_NaN()}) {
    generator g(10);
    gla::inputs in;
    in.q = g.normals({2, 75, 2, 21});
    in.k = g.normals({2, 75, 2, 21});
    in.v = g.normals({2, 75, 16, 11});
    in.log_decay = g.log_gates({2, 75, 16, 1}, gates::mild);
    (std::isnan(odd) ? in.v : in.log_decay)(1, 40, 5, 0) = odd;
    auto all = in;
    all.q = expand(in.q, 16), all.k = expand(in.k, 16);
    const auto dout = random_gradients<gla>(gla::forward(in), 9);
    for (const mode& m : {mode{mode::chunked, 32}, mode{mode::chunked, 8}, mode{mode::scan, 0}}) {
      SCOPED_TRACE(::testing::Message() << m << ", odd " << odd);
      const auto d = run_backward<gla, double>(m, in, dout),
                 d_all = run_backward<gla, double>(m, all, dout);
      EXPECT_TRUE(same_bits(d.v, d_all.v));
      EXPECT_TRUE(same_bits(d.log_decay, d_all.log_decay));
      const auto like_sum = [&](const tensor<double>& x, const tensor<double>& of_heads) {
        const auto added = sum(of_heads, x);
        for (std::size_t i = 0; i < x.data.size(); ++i) {
          ASSERT_EQ(std::isnan(x.data[i]), std::isnan(added.data[i])) << i;
          if (std::isnan(x.data[i])) continue;
          ASSERT_NEAR(x.data[i], added.data[i], 1e-12) << i;
        }
      };
      like_sum(d.q, d_all.q), like_sum(d.k, d_all.k);
    }
  }
}

}  // namespace
