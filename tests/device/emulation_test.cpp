// The instrument itself: that a program with a race, a barrier that not all threads reach, or too
// little shared memory does not pass.
#include <gtest/gtest.h>

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
  run(emulated_gpu{}, program<F>{body, shared, blocks});
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

TEST(emulation, shared_memory_starts_as_nan) {
  bool nan = true;
  run_body([&nan](auto& block) {
    const auto numbers = block.template shared<float>(8);
    const float x = numbers[block.thread() % 8];
    nan = nan && x != x;
  });
  EXPECT_TRUE(nan);
}

}  // namespace
