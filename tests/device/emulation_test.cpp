// The instrument itself: that a program with a race, a barrier that not all threads reach, too
// little shared memory or an index outside an array does not pass.
#include <gtest/gtest.h>

#include <cmath>
#include <gatescan/backends/cuda/matrix/warp_product.hpp>

#include "../support/emulation/emulated_gpu.hpp"

namespace {

using support::bf16_pair, support::tf32_number;
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

// A shuffle brings a warp together, but orders no memory.
TEST(emulation, a_shuffle_is_no_barrier) {
  EXPECT_NE(complaint([](auto& block) {
              const auto numbers = block.template shared<float>(64);
              numbers[block.thread()] = 1.0f;
              const float mine = block.shuffle_xor(1.0f, 1);
              const float other = numbers[block.thread() ^ 1];
              (void)mine, (void)other;
            }).find("without a barrier"),
            std::string::npos);
}

// What a block does together, in the order of threads; the numbers' tail is not touched.
TEST(emulation, blocks_load_scan_sum_and_store) {
  std::vector<float> from(3 * 64), to(3 * 64, -1.0f), sums(64);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<float>(i % 7);
  run_body([&](auto& block) {
    float x[3];
    block.template load<64>(from.data(), 100, x);
    float total = -1;
    const auto add = [](float a, float b) { return a + b; };
    const float own = x[0] + x[1] + x[2];
    float before = block.template exclusive_scan<64>(own, 0.0f, total, add);
    if (const float sum = block.template sum<64>(own, add); block.thread() == 0)
      sums[0] = sum, sums[1] = total;
    for (float& e : x) before = e = before + e;
    block.template store<64>(to.data(), 100, x);
  });
  float sum = 0;
  for (std::size_t i = 0; i < 100; ++i) EXPECT_EQ(to[i], sum += from[i]) << i;
  EXPECT_EQ(to[100], -1.0f);
  EXPECT_EQ(sums[0], sum);
  EXPECT_EQ(sums[1], sum);
}

// A fetched number is there once its group has been waited for, and not before.
TEST(emulation, numbers_are_fetched) {
  const std::vector<float> from{1, 2, 3};
  bool early = true;
  run_body([&](auto& block) {
    const auto numbers = block.template shared<float>(3 * 64);
    for (int i = 0; i < 3; ++i) {
      block.fetch(numbers, i * 64 + block.thread(), &from[static_cast<std::size_t>(i)]);
      block.close_fetches();
    }
    block.template wait_for_fetches<1>();
    const float first = numbers[block.thread()], second = numbers[64 + block.thread()],
                third = numbers[128 + block.thread()];
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 2);
    early = early && third == third;
    block.template wait_for_fetches<0>();
    EXPECT_EQ(float(numbers[128 + block.thread()]), 3);
  });
  EXPECT_FALSE(early);
}

// Sums and scans bring a block together, but order no memory; and it is the whole block.
TEST(emulation, a_sum_is_no_barrier) {
  const auto add = [](float a, float b) { return a + b; };
  EXPECT_NE(complaint([add](auto& block) {
              const auto numbers = block.template shared<float>(64);
              numbers[block.thread()] = 1.0f;
              const float sum = block.template sum<64>(1.0f, add);
              const float other = numbers[63 - block.thread()];
              (void)sum, (void)other;
            }).find("without a barrier"),
            std::string::npos);
  EXPECT_NE(complaint([add](auto& block) {
              if (block.thread() < 40) block.template sum<64>(1.0f, add);
            }).find("part ways"),
            std::string::npos);
  EXPECT_NE(
      complaint([add](auto& block) { block.template sum<32>(1.0f, add); }).find("of 32 threads"),
      std::string::npos);
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

// a block whose warps have no matrix unit
template <class Block>
struct without_matrix_unit {
  Block& block;

  int thread() const { return block.thread(); }
  template <class T>
  T shuffle(T x, int lane) {
    return block.shuffle(x, lane);
  }
  bf16_pair rounded(float x, float y) { return gatescan::detail::rounded_pair(x, y); }
  tf32_number in_tf32(float x) { return gatescan::detail::rounded_to_tf32(x); }
  template <class Number>
  void multiply(float (&sum)[4], const Number (&a)[4], const Number (&b)[2]) {
    gatescan::detail::multiply_by_shuffles(*this, sum, a, b);
  }
};
template <class Sums>
struct by_shuffles : Sums {
  template <class Block, class... Rest>
  void add(Block& block, const Rest&... rest) {
    without_matrix_unit<Block> plain{block};
    Sums::add(plain, rest...);
  }
};
template <int N>
using in_bf16_by_shuffles = by_shuffles<in_bf16<N>>;
template <int N>
using in_tf32_by_shuffles = by_shuffles<gatescan::detail::gpu::matrix::tf32_sums<N>>;

TEST(emulation, warps_multiply_matrices_without_a_matrix_unit) {
  check_product<in_bf16_by_shuffles>(0x1p-16);
  check_product<in_tf32_by_shuffles>(0x1p-10);
}

// A matrix unit that truncates loses on one side: of 4096 terms added up in it a float would lack
// hundreds of units in the last place.
TEST(emulation, products_keep_the_digits_of_float) {
  constexpr int depth = 4096;
  constexpr std::size_t rows = 16, columns = 8;
  std::vector<float> a(depth * rows), b(depth * columns), c(rows * columns);
  for (std::size_t i = 0; i < a.size(); ++i) a[i] = 1.5f + std::sin(static_cast<float>(i));
  for (std::size_t i = 0; i < b.size(); ++i)
    b[i] = static_cast<float>(gatescan::bf16(1.5f + std::cos(static_cast<float>(i))));
  run_body([&](auto& block) {
    gatescan::detail::gpu::matrix::warp_sums<columns, true> sum;
    sum.add(block, depth, a.data(), rows, b.data(), columns);
    const int lane = block.thread() % 32;
    for (int i = 0; i < 4; ++i)
      c[static_cast<std::size_t>(sum.row(lane, i)) * columns +
        static_cast<std::size_t>(sum.column(lane, 0, i))] = sum.sum[0][i];
  });
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t j = 0; j < columns; ++j) {
      double want = 0;
      for (std::size_t d = 0; d < depth; ++d)
        want += double{a[d * rows + i]} * double{b[d * columns + j]};
      EXPECT_NEAR(double{c[i * columns + j]}, want, want * 0x1p-20) << i << " " << j;
    }
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
