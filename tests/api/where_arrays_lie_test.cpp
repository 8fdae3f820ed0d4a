// Results larger than the caches are written past them where their rows are whole lines of memory,
// through them elsewhere: the same bits wherever arrays begin, and all of them.

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "dense_problem.hpp"

namespace {

using namespace support;

constexpr float unwritten = 777;

// Every view of a problem in float, each on memory of its own that begins `shift` numbers after a
// line of 64 bytes.
template <class R>
struct large_problem {
  std::size_t shift;
  bool complex;
  typename R::template inputs<float> in{};
  typename R::template outputs<float> out{};
  typename R::template output_gradients<float> d_out{};
  typename R::template gradients<float> d{};
  struct array {
    std::unique_ptr<float[]> memory;
    float* first;
    std::size_t size;
  };
  std::vector<array> results;
  std::vector<array> operands;
  generator random{11};

  large_problem(const gatescan::sizes& n, std::size_t begins, bool planes)
      : shift(begins), complex(planes) {
    if constexpr (requires { in.softplus; }) in.softplus = true;
    R::operands(
        [&](const char* name, const gatescan::axes& a, gatescan::presence, auto& x, auto& dx) {
          // instead of log_magnitude and phase
          if (std::is_same_v<R, gatescan::gateloop> && std::string(name) == "a") return;
          place(layout_of(a, n), x);
          place(layout_of(a, n), dx);
        },
        in, d);
    place(layout_of(R::out_axes, n), out.out);
    place(layout_of(R::out_axes, n), d_out.out);
  }
  float* numbers(std::size_t size, bool is_operand) {
    constexpr std::size_t line = 16;
    auto& list = is_operand ? operands : results;
    array x{std::make_unique<float[]>(size + 3 * line), nullptr, size};
    const auto begin = reinterpret_cast<std::uintptr_t>(x.memory.get());
    x.first = x.memory.get() + (64 - begin % 64) % 64 / sizeof(float) + shift;
    for (std::size_t i = 0; i < size; ++i)
      x.first[i] = is_operand ? static_cast<float>(random.uniform(-1, -0.1)) : unwritten;
    list.push_back(std::move(x));
    return list.back().first;
  }
  template <class View>
  void place(const gatescan::layout& where, View& x) {
    const auto size = static_cast<std::size_t>(where.size());
    constexpr bool is_operand = std::is_const_v<typename View::element>;
    if constexpr (requires { x.im; }) {
      float* const re = numbers(size, is_operand);
      x = {re, complex ? numbers(size, is_operand) : nullptr, where};
    } else {
      x = {numbers(size, is_operand), where};
    }
  }
  template <class Mode>
  void run(const Mode& mode) {
    gatescan::forward(gatescan::cpu{.threads = 2}, mode, in, out);
    gatescan::backward(gatescan::cpu{.threads = 2}, mode, in, d_out, d);
  }
};

template <class R>
void expect_the_same_bits(const gatescan::sizes& n, bool complex = false) {
  const auto compare = [&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    large_problem<R> lines(n, 0, complex);
    lines.run(mode);
    bool large = false;
    for (std::size_t i = 0; i < lines.results.size(); ++i) {
      const auto& x = lines.results[i];
      large = large || x.size * sizeof(float) > (4 << 20);
      for (std::size_t j = 0; j < x.size; ++j)
        ASSERT_NE(x.first[j], unwritten) << "result " << i << ", element " << j;
    }
    EXPECT_TRUE(large);
    for (const std::size_t shift :
         {std::size_t{1}, std::size_t{4}}) {  // anywhere; as malloc and std::vector begin
      SCOPED_TRACE(shift);
      large_problem<R> shifted(n, shift, complex);
      shifted.run(mode);
      ASSERT_EQ(lines.results.size(), shifted.results.size());
      for (std::size_t i = 0; i < lines.results.size(); ++i) {
        const auto &x = lines.results[i], &y = shifted.results[i];
        ASSERT_EQ(std::memcmp(x.first, y.first, x.size * sizeof(float)), 0) << "result " << i;
      }
    }
  };
  compare(gatescan::recurrent{});
  compare(gatescan::chunked{});
}

TEST(where_arrays_lie, elementwise) {
  expect_the_same_bits<gatescan::elementwise>({1, 1, 2304, 1, 1, 512});
}
TEST(where_arrays_lie, elementwise_complex) {
  expect_the_same_bits<gatescan::elementwise>({1, 1, 2304, 1, 1, 512}, true);
}
TEST(where_arrays_lie, gateloop) {
  expect_the_same_bits<gatescan::gateloop>({1, 1, 1100, 16, 64, 64}, true);
}
TEST(where_arrays_lie, gla) { expect_the_same_bits<gatescan::gla>({1, 1, 1100, 8, 128, 128}); }
TEST(where_arrays_lie, selective_scan) {
  expect_the_same_bits<gatescan::selective_scan>({1, 1, 1100, 1, 16, 1024});
}

// A real result among complex numbers: imaginary parts are not its business.
TEST(where_arrays_lie, real_numbers_between_others) {
  using namespace gatescan;
  const index_t L = 4097, D = 256;
  std::vector<float> a(static_cast<std::size_t>(L * D), 0.5f), x(a.size());
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
  std::vector<float> memory(2 * x.size() + 32, unwritten), want(x.size());
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  float* const re = memory.data() + (64 - begin % 64) % 64 / sizeof(float);
  const elementwise::inputs<float> in{.a = view<const float>(a.data(), {1, L, 1, D}),
                                      .x = view<const float>(x.data(), {1, L, 1, D})};
  const auto compare = [&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    forward(cpu{}, mode, in, {.out = view<float>(want.data(), {1, L, 1, D})});
    forward(cpu{}, mode, in,
            {.out = complex_view<float>(re, re + 1, {{1, L, 1, D}, {2 * L * D, 2 * D, 2 * D, 2}})});
    for (std::size_t i = 0; i < want.size(); ++i) {
      ASSERT_EQ(re[2 * i], want[i]) << i;
      ASSERT_EQ(re[2 * i + 1], unwritten) << i;
    }
  };
  compare(recurrent{});
  compare(chunked{});
}

}  // namespace
