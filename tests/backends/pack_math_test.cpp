// N11, N12: the elementary functions of gates, on numbers and on registers, within a few ulp of
// long double, and exact where gates rely on it.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <gatescan/gatescan.hpp>
#include <limits>
#include <string>
#include <vector>

#include "../support/generate.hpp"

namespace {

namespace simd = gatescan::simd;
using support::generator;

template <class T>
long double ulp(long double x) {
  const int least = std::numeric_limits<T>::min_exponent - 1;
  const int exponent = x == 0 ? least : std::max(std::ilogb(x), least);
  return std::ldexp(1.0L, exponent - (std::numeric_limits<T>::digits - 1));
}

#ifdef __FMA__
constexpr double unfused = 0;
#else
constexpr double unfused = 0.1;  // where fma rounds twice
#endif

// For each: the bound in ulp, one text for numbers and registers, the truth in long double, and the
// unit of the errors where it is not the ulp of the result.
struct exp {
  static constexpr const char* name = "exp";
  static constexpr double bound = 1.06;
  template <class R>
  static R of(R x) {
    return gatescan::exp(x);
  }
  static long double truth(long double x) { return std::exp(x); }
};
struct expm1_of_negative {
  static constexpr const char* name = "expm1_of_negative";
  static constexpr double bound = 2;
  template <class R>
  static R of(R x) {
    return gatescan::expm1_of_negative(-gatescan::abs(x));
  }
  static long double truth(long double x) { return std::expm1(-std::fabs(x)); }
};
struct sigmoid {
  static constexpr const char* name = "sigmoid";
  static constexpr double bound = 2 + unfused;
  template <class R>
  static R of(R x) {
    return gatescan::sigmoid(x);
  }
  static long double truth(long double x) { return 1 / (1 + std::exp(-x)); }
};
struct one_minus_sigmoid {
  static constexpr const char* name = "one_minus_sigmoid";
  static constexpr double bound = 2 + unfused;
  template <class R>
  static R of(R x) {
    return gatescan::sigmoid(-x);
  }
  static long double truth(long double x) { return 1 / (1 + std::exp(x)); }
};
struct softplus {  // its derivative is sigmoid
  static constexpr const char* name = "softplus";
  static constexpr double bound = 2;
  template <class R>
  static R of(R x) {
    return gatescan::softplus(x);
  }
  static long double truth(long double x) {
    return x > 0 ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
  }
};
struct log_sigmoid {
  static constexpr const char* name = "log_sigmoid";
  static constexpr double bound = 2;
  template <class R>
  static R of(R x) {
    return gatescan::log_sigmoid(x);
  }
  static long double truth(long double x) { return -softplus::truth(-x); }
};
struct silu {
  static constexpr const char* name = "silu";
  static constexpr double bound = 2 + 5 * unfused;
  template <class R>
  static R of(R x) {
    return gatescan::silu(x);
  }
  static long double truth(long double x) { return x / (1 + std::exp(-x)); }
  template <class T>
  static long double unit(long double x) {  // sigmoid(x) may be subnormal
    return std::max(ulp<T>(truth(x)), std::fabs(x) * ulp<T>(sigmoid::truth(x)));
  }
};
struct silu_slope {
  static constexpr const char* name = "silu_slope";
  static constexpr double bound = 3 + unfused;
  template <class R>
  static R of(R x) {
    return gatescan::silu_slope(x);
  }
  static long double truth(long double x) {
    return sigmoid::truth(x) * (1 + x * one_minus_sigmoid::truth(x));
  }
  template <class T>
  static long double unit(long double x) {  // there is a zero at -1.278
    return ulp<T>(sigmoid::truth(x)) * (1 + std::fabs(x) * one_minus_sigmoid::truth(x));
  }
};

// the numbers of xs, one by one or a register at a time
template <class F, class T>
std::vector<T> scalars(const std::vector<T>& xs) {
  std::vector<T> r;
  for (const T x : xs) r.push_back(F::of(x));
  return r;
}
template <class F, class T>
std::vector<T> registers(const std::vector<T>& xs) {
  std::vector<T> r = xs;
  for (std::size_t i = 0; i < xs.size(); i += simd::lanes<T>) {
    const int n = static_cast<int>(std::min<std::size_t>(simd::lanes<T>, xs.size() - i));
    simd::store(&r[i], 1, n, F::of(simd::load<T>(&xs[i], 1, n)));
  }
  return r;
}

// even and dense round 0, random in between, and down to the smallest numbers
template <class T>
std::vector<T> sweep() {
  std::vector<T> xs;
  generator g(12);
  for (int i = -104 * 256; i <= 104 * 256; ++i) xs.push_back(static_cast<T>(i) / 256);
  for (int i = 0; i < 200000; ++i) xs.push_back(static_cast<T>(g.uniform(-104, 104)));
  for (int i = 0; i < 100000; ++i) xs.push_back(static_cast<T>(g.uniform(-2, 2)));
  for (int e = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits; e < 6; ++e)
    for (const double sign : {-1.0, 1.0})
      xs.push_back(static_cast<T>(std::ldexp(sign * g.uniform(1, 2), e)));
  return xs;
}

template <class F, class T>
void expect_close(const std::vector<T>& xs, const std::vector<T>& ys, const char* how) {
  long double worst = 0;
  T at = 0;
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const auto x = static_cast<long double>(xs[i]), y = F::truth(x);
    if (std::isinf(ys[i]) && y > static_cast<long double>(std::numeric_limits<T>::max())) continue;
    long double error = std::fabs(static_cast<long double>(ys[i]) - y);
    if constexpr (requires { F::template unit<T>(y); })
      error /= F::template unit<T>(x);
    else
      error /= ulp<T>(y);
    if (!(error <= worst)) worst = error, at = xs[i];
  }
  EXPECT_LE(worst, F::bound) << F::name << " of " << how << " at " << at;
}

// x and what it must give, to the bit but for which NaN it is
template <class F, class T>
void expect_special(std::initializer_list<std::pair<T, T>> pairs) {
  std::vector<T> xs, want;
  for (const auto& [x, y] : pairs) xs.push_back(x), want.push_back(y);
  for (const auto& got : {scalars<F>(xs), registers<F>(xs)})
    for (std::size_t i = 0; i < xs.size(); ++i) {
      const bool same = std::isnan(want[i])
                            ? std::isnan(got[i])
                            : got[i] == want[i] && std::signbit(got[i]) == std::signbit(want[i]);
      EXPECT_TRUE(same) << F::name << "(" << xs[i] << ") is " << got[i] << ", not " << want[i];
    }
}

template <class Cell>
class functions : public ::testing::Test {};
template <class Function, class Number>
struct cell {
  using function = Function;
  using number = Number;
};
template <class Number, class... F>
struct cells {
  using type = ::testing::Types<cell<F, Number>...>;
};
using float_cells = cells<float, exp, expm1_of_negative, sigmoid, one_minus_sigmoid, softplus,
                          log_sigmoid, silu, silu_slope>::type;
using double_cells = cells<double, exp, expm1_of_negative, sigmoid, one_minus_sigmoid, softplus,
                           log_sigmoid, silu, silu_slope>::type;
TYPED_TEST_SUITE_P(functions);
TYPED_TEST_P(functions, N11_N12_are_within_a_few_ulp_of_long_double) {
  using F = typename TypeParam::function;
  const auto xs = sweep<typename TypeParam::number>();
  expect_close<F>(xs, scalars<F>(xs), "numbers");
  expect_close<F>(xs, registers<F>(xs), "registers");
}
REGISTER_TYPED_TEST_SUITE_P(functions, N11_N12_are_within_a_few_ulp_of_long_double);
INSTANTIATE_TYPED_TEST_SUITE_P(of_float, functions, float_cells);
INSTANTIATE_TYPED_TEST_SUITE_P(of_double, functions, double_cells);

template <class T>
void expect_special_values() {
  using limits = std::numeric_limits<T>;
  const T inf = limits::infinity(), nan = limits::quiet_NaN(), tiny = limits::denorm_min();
  const T log2 = static_cast<T>(std::log(2.0L)), half = T(0.5);
  expect_special<exp, T>({{T(0), T(1)},
                          {-T(0), T(1)},
                          {tiny, T(1)},
                          {-tiny, T(1)},
                          {-inf, T(0)},
                          {inf, inf},
                          {nan, nan},
                          {limits::lowest(), T(0)},
                          {limits::max(), inf}});
  expect_special<expm1_of_negative, T>(
      {{tiny, -tiny}, {inf, T(-1)}, {nan, nan}, {limits::max(), T(-1)}});
  expect_special<sigmoid, T>({{T(0), half},
                              {-T(0), half},
                              {tiny, half},
                              {-tiny, half},
                              {-inf, T(0)},
                              {inf, T(1)},
                              {nan, nan},
                              {limits::max(), T(1)}});
  expect_special<softplus, T>({{T(0), log2},
                               {-T(0), log2},
                               {tiny, log2},
                               {-tiny, log2},
                               {-inf, T(0)},
                               {inf, inf},
                               {nan, nan},
                               {limits::max(), limits::max()},
                               {limits::lowest(), T(0)}});
  expect_special<log_sigmoid, T>({{T(0), -log2},
                                  {-inf, -inf},
                                  {inf, -T(0)},
                                  {nan, nan},
                                  {limits::lowest(), limits::lowest()}});
  expect_special<silu, T>(
      {{T(0), T(0)}, {-T(0), -T(0)}, {inf, inf}, {nan, nan}, {limits::max(), limits::max()}});
  expect_special<silu_slope, T>({{T(0), half}, {tiny, half}, {-tiny, half}, {nan, nan}});
}
TEST(functions, N11_N12_special_values_of_float) { expect_special_values<float>(); }
TEST(functions, N11_N12_special_values_of_double) { expect_special_values<double>(); }

// e^(a b) of a register: against the truth for what a was rounded to, and what overflows on the way
template <class T>
void expect_exp_of_product() {
  using limits = std::numeric_limits<T>;
  using P = simd::pack<T>;
  const T inf = limits::infinity();
  const auto of = [](T a, T b) {
    const T log2e_a = a * static_cast<T>(gatescan::log2_e);
    T y[simd::lanes<T>];
    simd::store(y, gatescan::exp_of_product(P(a), P(log2e_a), P(b)));
    return y[0];
  };
  generator g(5);
  long double worst = 0;
  for (int i = 0; i < 100000; ++i) {
    const T a = static_cast<T>(std::exp(g.uniform(-12, 2))), b = static_cast<T>(g.uniform(-10, 1));
    const long double log2e_a = a * static_cast<T>(gatescan::log2_e);
    const long double truth = std::exp2(log2e_a * static_cast<long double>(b));
    worst = std::max(worst, std::fabs(static_cast<long double>(of(a, b)) - truth) / ulp<T>(truth));
    T quick[simd::lanes<T>];
    simd::store(quick, simd::near_exp_of_product(P(static_cast<T>(log2e_a)), P(b)));
    ASSERT_EQ(of(a, b), quick[0]) << a << " " << b;
  }
  EXPECT_LE(worst, exp::bound + unfused);
  for (const T a : {T(0), limits::denorm_min(), T(1), limits::max()}) EXPECT_EQ(of(a, 0), 1) << a;
  EXPECT_EQ(of(1, -inf), 0);
  EXPECT_EQ(of(limits::max(), -1), 0);
  EXPECT_EQ(of(limits::max(), 1), inf);
  EXPECT_EQ(of(inf, -1), 0);
  EXPECT_TRUE(std::isnan(of(inf, 0)));
  EXPECT_TRUE(std::isnan(of(limits::quiet_NaN(), 1)));
  const T distant = simd::exp_reach<T> * T(0.7);  // beyond it 2^n is not a normal number
  for (const T b : {T(-1), T(-1.02), T(-1.05), T(-2), T(1.02), T(2)})
    EXPECT_EQ(of(distant, b), gatescan::exp(P(distant * b)).v[0]) << b;
}
TEST(functions, N11_N12_exp_of_product_of_float) { expect_exp_of_product<float>(); }
TEST(functions, N11_N12_exp_of_product_of_double) { expect_exp_of_product<double>(); }

// a token stage of many tokens has the bits of one at a time
template <class T>
void expect_sums() {
  constexpr auto lanes = static_cast<std::size_t>(simd::lanes<T>);
  generator random(17);
  simd::pack<T> x[lanes];
  for (auto& row : x)
    for (int i = 0; i < simd::lanes<T>; ++i) row.v[i] = static_cast<T>(random.normal());
  const simd::pack<T> sums = simd::sums(x);
  for (std::size_t i = 0; i < lanes; ++i)
    EXPECT_EQ(sums.v[static_cast<int>(i)], simd::sum(x[i])) << i;
}
TEST(lanes, sums_are_the_sum_of_each_of_float) { expect_sums<float>(); }
TEST(lanes, sums_are_the_sum_of_each_of_double) { expect_sums<double>(); }

// a lane's value does not depend on its neighbours
TEST(functions, lanes_do_not_meet) {
  std::vector<float> xs(simd::lanes<float>, std::numeric_limits<float>::quiet_NaN());
  for (std::size_t i = 0; i < xs.size(); ++i) {
    auto one = xs;
    one[i] = -0.75f;
    const auto all = std::vector<float>(xs.size(), -0.75f);
    EXPECT_EQ(registers<exp>(one)[i], registers<exp>(all)[i]) << i;
    EXPECT_EQ(registers<softplus>(one)[i], registers<softplus>(all)[i]) << i;
  }
}

}  // namespace
