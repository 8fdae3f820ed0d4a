// The instrument itself: that a program with a race, a barrier that not all threads reach, too
// little shared memory or an index outside an array does not pass.
#include <gtest/gtest.h>

#include <cmath>
#include <gatescan/backends/cuda/matrix/warp_product.hpp>

#include "../support/emulation/emulated_gpu.hpp"

namespace {

using support::emulated_gpu, support::emulation_error, support::index_t;

template <class F>
struct program {
  F body;
  int shared = 1024;
  index_t launched = 1;
  index_t blocks() const { return launched; }
  int threads() const { return 64; }
  int shared_bytes() const { return shared; }
  template <class Block>
  void operator()(Block& block) const {
    body(block);
  }
};

template <class F>
void run_body(F body, int shared = 1024, index_t blocks = 1) {
  launch(emulated_gpu{}, program<F>{body, shared, blocks});
}
template <class F>
std::string complaint(F body, int shared = 1024) {
  try {
    run_body(body, shared);
  } catch (const emulation_error& e) {
    return e.what();
  }
  return "none";
}

TEST(emulation, shared_memory_barriers_and_shuffles_work) {
  std::vector<int> out(3 * 64);
  run_body(
      [&out](auto& block) {
        const auto numbers = block.template shared<int>(64);
        numbers[block.thread()] = block.thread() * 10;
        block.sync();
        const int other = numbers[63 - block.thread()];
        const int sum = other + block.shuffle_xor(block.thread(), 1);
        const bool any = block.any(block.thread() == 5);
        out[static_cast<std::size_t>(block.index() * 64 + block.thread())] = any ? sum : -1;
      },
      1024, 3);
  for (int b = 0; b < 3; ++b)
    for (int i = 0; i < 64; ++i)
      EXPECT_EQ(out[static_cast<std::size_t>(b * 64 + i)], (63 - i) * 10 + (i ^ 1));
}

TEST(emulation, write_and_read_without_a_barrier) {
  const std::string what = complaint([](auto& block) {
    const auto numbers = block.template shared<float>(64);
    numbers[block.thread()] = 1.0f;
    const float other = numbers[63 - block.thread()];
    numbers[block.thread()] = other;
  });
  EXPECT_NE(what.find("without a barrier"), std::string::npos) << what;
}

TEST(emulation, two_writes_without_a_barrier) {
  const std::string what = complaint([](auto& block) {
    const auto numbers = block.template shared<float>(1);
    numbers[0] = 1.0f;
  });
  EXPECT_NE(what.find("without a barrier"), std::string::npos) << what;
}

TEST(emulation, read_then_write_without_a_barrier) {
  const std::string what = complaint([](auto& block) {
    const auto numbers = block.template shared<float>(64);
    numbers[block.thread()] = 1.0f;
    block.sync();
    const float other = numbers[(block.thread() + 1) % 64];
    numbers[block.thread()] = other;
  });
  EXPECT_NE(what.find("without a barrier"), std::string::npos) << what;
}

TEST(emulation, a_warp_barrier_does_for_a_warp_only) {
  const auto neighbours = [](int distance) {
    return complaint([distance](auto& block) {
      const auto numbers = block.template shared<float>(64);
      numbers[block.thread()] = 1.0f;
      block.sync_warp();
      const float other = numbers[block.thread() ^ distance];
      (void)other;
    });
  };
  EXPECT_EQ(neighbours(1), "none");
  EXPECT_NE(neighbours(32).find("without a barrier"), std::string::npos);
}

TEST(emulation, a_barrier_that_some_do_not_reach) {
  EXPECT_NE(complaint([](auto& block) {
              if (block.thread() < 40) block.sync();
            }).find("part ways"),
            std::string::npos);
  EXPECT_NE(complaint([](auto& block) {
              if (block.thread() == 3) return;
              block.sync_warp();
            }).find("part ways"),
            std::string::npos);
}

TEST(emulation, more_shared_memory_than_said) {
  const auto body = [](auto& block) { block.template shared<double>(64); };
  EXPECT_EQ(complaint(body, 512), "none");
  EXPECT_NE(complaint(body, 496).find("shared memory"), std::string::npos);
}

TEST(emulation, outside_a_shared_array) {
  const auto touching = [](index_t i) {
    return complaint([i](auto& block) {
      const auto numbers = block.template shared<float>(8);
      block.template shared<float>(8);  // there is memory on
      if (block.thread() == 0) (numbers + 2)[i] = 1.0f;
    });
  };
  EXPECT_EQ(touching(5), "none");
  EXPECT_NE(touching(6).find("array of 6"), std::string::npos);
  EXPECT_NE(touching(-1).find("array of 6"), std::string::npos);
}

TEST(emulation, shared_memory_starts_as_nan) {
  bool nan = true;
  run_body([&nan](auto& block) {
    const auto numbers = block.template shared<float>(8);
    const float x = numbers[block.thread() % 8];
    nan = nan && x != x;
  });
  EXPECT_TRUE(nan);
}

// a product of 16 x 32 by 32 x 24 numbers in float, on the matrix unit
template <template <int> class Sums>
void check_product(double error_of_a_term) {
  constexpr int rows = 16, columns = 24, depth = 32;
  std::vector<float> a(depth * rows), b(depth * columns), c(rows * columns);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = std::sin(static_cast<float>(i));
  for (std::size_t i = 0; i < b.size(); ++i) b[i] = std::cos(static_cast<float>(i * i % 97));
  run_body([&](auto& block) {
    Sums<columns> sum;
    sum.add(block, depth, a.data(), rows, b.data(), columns);
    const int lane = block.thread() % 32;
    for (int tile = 0; tile < columns / 8; ++tile)
      for (int i = 0; i < 4; ++i)
        c[static_cast<std::size_t>(sum.row(lane, i) * columns + sum.column(lane, tile, i))] =
            sum.sum[tile][i];
  });
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) {
      double want = 0, size = 0;
      for (std::size_t d = 0; d < depth; ++d) {
        const double term = double{a[d * rows + i]} * double{b[d * columns + j]};
        want += term, size += std::fabs(term);
      }
      EXPECT_NEAR(double{c[i * columns + j]}, want, error_of_a_term * size) << i << " " << j;
    }
}
template <int N>
using in_bf16 = gatescan::detail::gpu::matrix::warp_sums<N>;

TEST(emulation, warps_multiply_matrices) {
  check_product<in_bf16>(0x1p-16);
  check_product<gatescan::detail::gpu::matrix::tf32_sums>(0x1p-10);
}

TEST(emulation, tf32_has_eleven_bits) {
  run_body([](auto& block) {
    const auto rounded = [&block](float x) {
      return gatescan::detail::bits_as<float>(block.in_tf32(x).bits);
    };
    EXPECT_EQ(rounded(1 + 0x1p-10f), 1 + 0x1p-10f);
    EXPECT_EQ(rounded(1 + 0x1p-11f), 1 + 0x1p-10f);  // a tie
    EXPECT_EQ(rounded(-1 - 0x1p-11f), -1 - 0x1p-10f);
    EXPECT_EQ(rounded(1 + 0x1.fp-12f), 1.0f);
    EXPECT_EQ(rounded(INFINITY), INFINITY);
    EXPECT_TRUE(std::isnan(rounded(NAN)));
  });
}

}  // namespace
