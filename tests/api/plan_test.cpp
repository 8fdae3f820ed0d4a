// A plan promises: workspace_bytes() is enough and no byte behind it is touched, whatever is in the
// workspace; no call allocates; operands of another shape are refused by name.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "../support/operand_set.hpp"
#include "dense_problem.hpp"

namespace {
std::atomic<long> allocations{0};
}
// Not inlined, or the compiler takes the malloc in one for a mistake in the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace support;
using gatescan::workspace;

// In float, which all programs share the calls of.
template <class R>
using problem = dense_problem<R, float>;

template <class R>
class plans : public ::testing::Test {};
using recurrences = every_recurrence_and<own::tied, own::best_path, own::rnn>;
TYPED_TEST_SUITE(plans, recurrences);

template <class R, class F>
void in_each_mode(F f) {
  f(gatescan::automatic{});
  f(gatescan::recurrent{});
  if constexpr (gatescan::scannable<R>) f(gatescan::scan{});
  if constexpr (gatescan::attention_form<R>) {
    f(gatescan::chunked{7});
    f(gatescan::attention{});
  }
}

TYPED_TEST(plans, need_no_more_than_their_workspace) {
  in_each_mode<TypeParam>([](const auto& mode) {
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(::testing::Message() << mode.name << ", threads " << threads);
      problem<TypeParam> p;
      const gatescan::cpu backend{.threads = threads};
      gatescan::forward(backend, mode, p.in, p.out);
      gatescan::backward(backend, mode, p.in, p.d_out, p.d);
      const auto want = p.memory;

      const gatescan::plan plan{backend, mode, problem_of<TypeParam>(p.in)};
      const std::size_t bytes = plan.workspace_bytes();
      for (const std::byte fill : {std::byte{0xff}, std::byte{0xaa}})  // NaN, and small numbers
        for (const std::size_t offset : {0u, 1u, 24u}) {               // it may start anywhere
          std::vector<std::byte> memory(bytes + 128, fill);
          const workspace scratch{{memory.data() + offset, bytes}};
          for (auto& [name, numbers] : p.memory)
            if (p.is_result_of_forward(name) || name.rfind("d_initial_state", 0) == 0)
              std::fill(numbers.begin(), numbers.end(), float(untouched));
          const long before = allocations;
          plan.forward(p.in, p.out, scratch);
          plan.backward(p.in, p.d_out, p.d, scratch);
#if defined(_OPENMP)
          const bool counts = true;
#else
          const bool counts = threads == 1;  // starting a std::thread allocates
#endif
          if (counts) {
            EXPECT_EQ(allocations, before);
          }
          EXPECT_EQ(p.memory, want);
          for (std::size_t i = 0; i < memory.size(); ++i) {
            const bool outside = i < offset || i >= offset + bytes;
            ASSERT_TRUE(!outside || memory[i] == fill) << i;
          }
        }
    }
  });
}

TYPED_TEST(plans, of_gradients_that_are_shared) {
  in_each_mode<TypeParam>([](const auto& mode) {
    SCOPED_TRACE(mode.name);
    problem<TypeParam> p;
    p.for_each_operand([](const std::string&, const auto&, auto&, auto& d) {
      for (int i = 0; i < 2 && i < d.rank; ++i) d.stride[i] = 0;
    });
    p.backward(mode);
    const auto want = p.memory;
    const gatescan::plan plan{gatescan::cpu{.threads = 2}, mode, problem_of<TypeParam>(p.in)};
    std::vector<std::byte> memory(plan.workspace_bytes(p.in, p.d), std::byte{0xff});
    plan.backward(p.in, p.d_out, p.d, {memory});
    EXPECT_EQ(p.memory, want);
  });
}

TYPED_TEST(plans, refuse_what_they_were_not_made_for) {
  problem<TypeParam> p;
  const auto refused = [&](auto shape) {
    const gatescan::plan plan{gatescan::cpu{}, gatescan::recurrent{}, shape};
    return refusal([&] { plan.forward(p.in, p.out); });
  };
  auto shape = problem_of<TypeParam>(p.in);
  EXPECT_EQ(refused(shape), "");
  shape.time = 21;
  for (auto& [name, numbers] : p.memory)
    if (p.is_result_of_forward(name)) std::fill(numbers.begin(), numbers.end(), float(untouched));
  EXPECT_EQ(refused(shape), "plan: expected time 21, got 20");
  shape = problem_of<TypeParam>(p.in);
  shape.batch = shape.sequences = 3;
  EXPECT_EQ(refused(shape), "plan: expected batch 3, got 2");
  EXPECT_TRUE(p.nothing_written());

  const gatescan::plan plan{gatescan::cpu{}, gatescan::recurrent{}, problem_of<TypeParam>(p.in)};
  std::vector<std::byte> few(10);
  try {
    plan.forward(p.in, p.out, {few});
    ADD_FAILURE() << "expected a workspace_error";
  } catch (const gatescan::workspace_error& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.rfind("workspace: expected at least ", 0), 0u) << message;
    EXPECT_NE(message.find("got 10"), std::string::npos) << message;
  }
  EXPECT_TRUE(p.nothing_written());
}

// Sizes that no problem can have are refused by the plan itself, not by a call of it.
TYPED_TEST(plans, refuse_sizes_that_cannot_be) {
  problem<TypeParam> p;
  const auto refused = [&](auto change) {
    auto shape = problem_of<TypeParam>(p.in);
    change(shape);
    return refusal([&] { gatescan::plan(gatescan::cpu{}, gatescan::recurrent{}, shape); });
  };
  EXPECT_EQ(refused([](auto&) {}), "");
  EXPECT_EQ(refused([](auto& s) { s.time = -3; }), "time: expected at least 0, got -3");
  EXPECT_EQ(refused([](auto& s) { s.batch = -1; }), "batch: expected at least 0, got -1");
  EXPECT_EQ(refused([](auto& s) { s.sequences = -2, s.batch = 1; }),
            "sequences: expected at least 0, got -2");
  EXPECT_EQ(refused([](auto& s) { s.sequences = 2, s.batch = 3; }),
            "sequences: expected batch 1 with packed sequences, got batch 3");
  const auto too_many = refused([](auto& s) { s.time = s.batch = gatescan::index_t{1} << 40; });
  EXPECT_EQ(too_many.rfind("sizes: expected at most 2^56 numbers", 0), 0u) << too_many;
  using shape = decltype(problem_of<TypeParam>(p.in));
  if constexpr (requires(shape s) { s.heads; }) {
    EXPECT_EQ(refused([](auto& s) { s.heads = -1; }), "heads: expected at least 0, got -1");
  }
  if constexpr (requires(shape s) { s.keys; }) {
    EXPECT_EQ(refused([](auto& s) { s.keys = 0; }), "keys: expected at least 1, got 0");
  }
  if constexpr (requires(shape s) { s.values; }) {
    EXPECT_EQ(refused([](auto& s) { s.values = 0; }), "values: expected at least 1, got 0");
  }
  if constexpr (requires(shape s) { s.groups; }) {
    EXPECT_EQ(refused([](auto& s) { s.channels = 5, s.groups = 2; }),
              "groups: expected a divisor of 5 channels, got 2");
  }
}

TYPED_TEST(plans, describe_says_what_a_call_takes) {
  problem<TypeParam> p;
  in_each_mode<TypeParam>([&](const auto& mode) {
    const gatescan::cpu backend{.threads = 3};
    const auto said = gatescan::describe(backend, mode, p.in);
    EXPECT_EQ(said.recurrence, TypeParam::name);
    EXPECT_EQ(said.threads, 3);
    EXPECT_GE(said.chunk, 1);
    std::vector<std::byte> memory(said.workspace_bytes);
    EXPECT_NO_THROW(gatescan::forward(backend, mode, p.in, p.out, {memory}));
    memory.pop_back();
    EXPECT_THROW(gatescan::forward(backend, mode, p.in, p.out, {memory}),
                 gatescan::workspace_error);
    const std::string text = gatescan::to_string(said);
    for (const std::string& part : {said.recurrence, said.mode, said.reason})
      EXPECT_NE(text.find(part), std::string::npos) << text;
  });
}

}  // namespace
