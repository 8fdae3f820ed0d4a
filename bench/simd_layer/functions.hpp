// exp, softplus and silu, written once over a SIMD layer. exp is the library's: the same polynomial
// and range reduction, and the same way out for numbers whose exp is not a normal number.
#pragma once

#include <cmath>
#include <gatescan/backends/cpu/simd/math.hpp>

namespace simd_layer {

using exp_constants = gatescan::simd::detail::exp_constants<float>;

template <class Layer>
GATESCAN_INLINE typename Layer::vec exp_near(typename Layer::vec x) {
  using vec = typename Layer::vec;
  const vec magic = Layer::set(exp_constants::round);
  const vec shifted = Layer::fma(x, Layer::set(exp_constants::log2e), magic), n = shifted - magic;
  const vec r = Layer::fma(n, Layer::set(-exp_constants::ln2_low),
                           Layer::fma(n, Layer::set(-exp_constants::ln2_high), x));
  vec p = Layer::set(exp_constants::c[exp_constants::degree - 2]);
#pragma GCC unroll 16
  for (int k = exp_constants::degree - 3; k >= 0; --k)
    p = Layer::fma(p, r, Layer::set(exp_constants::c[k]));
  return Layer::times_power(Layer::fma(p, r * r, r) + Layer::set(1), shifted);
}
template <class Layer>
__attribute__((noinline)) typename Layer::vec exp_far(typename Layer::vec x) {
  alignas(64) float numbers[static_cast<std::size_t>(Layer::lanes)];
  Layer::store(numbers, x);
  for (float& number : numbers) number = std::exp(number);
  return Layer::load(numbers);
}

/// exp of each of N registers: they share the question whether all are in the easy range.
template <class Layer, std::size_t N>
GATESCAN_INLINE void exp_each(typename Layer::vec (&x)[N]) {
  typename Layer::vec largest = Layer::abs(x[0]);
#pragma GCC unroll 16
  for (std::size_t i = 1; i < N; ++i) largest = Layer::larger_magnitude(largest, Layer::abs(x[i]));
  const bool near = Layer::all_magnitudes_within(largest, exp_constants::normal);
#pragma GCC unroll 16
  for (std::size_t i = 0; i < N; ++i)
    x[i] = near ? simd_layer::exp_near<Layer>(x[i]) : simd_layer::exp_far<Layer>(x[i]);
}
template <class Layer>
GATESCAN_INLINE typename Layer::vec exp(typename Layer::vec x) {
  typename Layer::vec one[1] = {x};
  simd_layer::exp_each<Layer>(one);
  return one[0];
}

/// Numbers in L1, four registers at a time: n is a multiple of them.
template <class Layer>
void exp_all(const float* x, float* y, int n) {
  for (int i = 0; i < n; i += 4 * Layer::lanes) {
    typename Layer::vec r[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) r[j] = Layer::load(x + i + j * Layer::lanes);
    simd_layer::exp_each<Layer>(r);
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) Layer::store(y + i + j * Layer::lanes, r[j]);
  }
}

/// max(x, 0) + log(1 + e), e = exp(-|x|) in [0, 1]: 2 atanh(s), s = e / (2 + e) <= 1/3, whose
/// series is cut off where the rest is less than 2e-8 of it.
template <class Layer>
GATESCAN_INLINE typename Layer::vec softplus(typename Layer::vec x) {
  using vec = typename Layer::vec;
  const vec zero = Layer::set(0), e = simd_layer::exp<Layer>(zero - Layer::abs(x));
  const vec s = e / (e + Layer::set(2)), square = s * s;
  vec p = Layer::set(2.0f / 13);
#pragma GCC unroll 8
  for (int i = 11; i >= 1; i -= 2)
    p = Layer::fma(p, square, Layer::set(2.0f / static_cast<float>(i)));
  return Layer::fma(p, s, Layer::max(x, zero));
}
template <class Layer>
GATESCAN_INLINE typename Layer::vec silu(typename Layer::vec x) {
  return x / (Layer::set(1) + simd_layer::exp<Layer>(Layer::set(0) - x));
}

}  // namespace simd_layer
