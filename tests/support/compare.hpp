// The two error measures: relative rms, and the largest error over what rounding can be blamed for.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "convert.hpp"
#include "run.hpp"

namespace support {

inline double square(double x) { return x * x; }
inline double square(const cplx<double>& x) { return x.re * x.re + x.im * x.im; }

template <class T>
double rms(const tensor<T>& x) {
  double sum = 0;
  for (const T& e : x.data) sum += square(e);
  return x.data.empty() ? 0 : std::sqrt(sum / static_cast<double>(x.data.size()));
}

// The same of what is finite: an infinite number (m of a state that is empty) is right or wrong,
// and no size.
template <class T>
double size_of(tensor<T> x) {
  for (T& e : x.data)
    if (std::isinf(square(e))) e = T{};
  return rms(x);
}

template <class T>
tensor<T> difference(const tensor<T>& x, const tensor<T>& y) {
  tensor<T> d = x;
  for (std::size_t i = 0; i < d.data.size(); ++i)
    d.data[i] = x.data[i] == y.data[i] ? T{} : x.data[i] - y.data[i];
  return d;
}

// |x - y| relative to |y| in the root mean square. One number can be the small difference of large
// terms: where y has only a few, or is all zero, relative to `scale`, the size of its siblings.
// What the format cannot tell from zero is no error.
template <class T>
double relative_rms(const tensor<T>& x, const tensor<T>& y, double scale, double underflow) {
  const double size = size_of(y), error = rms(difference(x, y));
  if (error <= underflow) return 0;
  const bool few = y.data.size() < 8;
  return error / (few || size == 0 ? std::max(size, scale) : size);
}

struct tolerance {
  double out, state, gradient, state_gradient;
  double underflow;
};

template <class T>
struct without_place {
  using format = T;
};
template <class T>
struct without_place<gatescan::device<T>> {
  using format = T;
};

// Per format: results in storage, results in state format, and the same for gradients.
template <class Format>
tolerance tolerance_of() {
  using T = typename without_place<Format>::format;
  using gatescan::bf16, gatescan::half, gatescan::wide;
  constexpr double least = 0x1p-126;  // the smallest normal float, and bf16
  if constexpr (std::is_same_v<T, double>)
    return {1e-13, 1e-13, 2e-13, 2e-13, 0x1p-1022};
  else if constexpr (std::is_same_v<T, float>)
    return {4e-6, 4e-6, 1e-5, 1e-5, least};
  else if constexpr (std::is_same_v<T, bf16>)
    return {4e-3, 4e-6, 4e-3, 1e-5, least};
  else if constexpr (std::is_same_v<T, half>)
    return {5e-4, 4e-6, 5e-4, 1e-5, 0x1p-24};
  else if constexpr (std::is_same_v<T, wide<float>>)
    return {1.2e-7, 1e-13, 1.2e-7, 1e-12, least};
  else
    return {4e-3, 1e-13, 4e-3, 1e-12, least};
}

template <class O>
void expect_results(const typename O::outputs& got, const typename O::outputs& want,
                    const tolerance& bound) {
  double scale = 0;
  O::results([&scale](const char*, auto& w) { scale = std::max(scale, size_of(w)); }, want);
  O::results(
      [&](const char* name, auto& g, auto& w) {
        if (!g.given()) return;
        ASSERT_EQ(g.shape, w.shape) << name;
        const bool state = std::string(name) == "final_state";
        EXPECT_LE(
            relative_rms(state ? oracle::at_log_scale_of(g, w) : g, w, scale, bound.underflow),
            state ? bound.state : bound.out)
            << name;
      },
      got, want);
}

// What a library call returns of these gradients: only those of given operands, and for an operand
// that is real, the real part.
template <class O>
typename O::inputs as_returned(const typename O::inputs& in, typename O::inputs gradients) {
  O::operands(
      [](const char* name, auto& x, auto& d) {
        if (!x.given()) d = {};
        if constexpr (requires { d.data[0].re; })
          if (!goes_as_complex(name, x))
            for (auto& e : d.data) e.im = 0;
      },
      in, gradients);
  return gradients;
}

template <class O>
void expect_gradients(const typename O::inputs& got, const typename O::inputs& want,
                      const tolerance& bound) {
  double scale = 0;
  O::operands([&scale](const char*, auto& w) { scale = std::max(scale, size_of(w)); }, want);
  O::operands(
      [&](const char* name, auto& g, auto& w) {
        if (!g.given()) return;
        ASSERT_EQ(g.shape, w.shape) << name;
        const bool state = std::string(name) == "initial_state";
        EXPECT_LE(relative_rms(g, w, scale, bound.underflow),
                  state ? bound.state_gradient : bound.gradient)
            << "gradient of " << name;
      },
      got, want);
}

// bit for bit, but for the sign of a zero
template <class O, class A>
void expect_same_results(const A& got, const A& want) {
  O::results([](const char* name, auto& g, auto& w) { EXPECT_TRUE(g == w) << name; }, got, want);
}
template <class O, class A>
void expect_same_gradients(const A& got, const A& want) {
  O::operands([](const char* name, auto& g, auto& w) { EXPECT_TRUE(g == w) << name; }, got, want);
}

}  // namespace support
