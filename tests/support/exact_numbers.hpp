// Problems whose arithmetic is exact: gates 0, +-1/2, +-1, +-2 (and times i), small integers, no
// product of gates outside of 2^-4 .. 2^4. Then every order of evaluation gives the same bits.
#pragma once

#include <limits>

#include "generate.hpp"

namespace support {

// gates of one channel along time
class exact_gates {
 public:
  explicit exact_gates(generator& g) : g_(g) {}
  double next() {
    if (g_.coin(0.1)) return 0;
    const int64 step = g_.between(-1, 1);
    if (exponent_ + step > 2 || exponent_ + step < -2) return sign();
    exponent_ += step;
    return std::ldexp(sign(), static_cast<int>(step));
  }

 private:
  double sign() { return g_.coin() ? 1 : -1; }
  generator& g_;
  int64 exponent_ = 0;
};

inline tensor<double> integers(generator& g, extents shape, int64 most) {
  tensor<double> r(std::move(shape));
  for (double& x : r.data) x = static_cast<double>(g.between(-most, most));
  return r;
}
inline tensor<cplx<double>> complex_integers(generator& g, extents shape, int64 most) {
  const auto real = integers(g, shape, most), imaginary = integers(g, shape, most);
  auto r = as_complex(real);
  for (std::size_t i = 0; i < r.data.size(); ++i) r.data[i].im = imaginary.data[i];
  return r;
}

template <class E>
tensor<E> exact_gate_tensor(generator& g, const extents& shape) {
  tensor<E> r(shape);
  for (int64 b = 0; b < shape[0]; ++b)
    for (int64 h = 0; h < shape[2]; ++h)
      for (int64 i = 0; i < shape[3]; ++i) {
        exact_gates channel(g);
        for (int64 t = 0; t < shape[1]; ++t) {
          const double a = channel.next();
          if constexpr (std::is_same_v<E, double>)
            r(b, t, h, i) = a;
          else
            r(b, t, h, i) = g.coin() ? E(a) : E(0, a);
        }
      }
  return r;
}

inline tensor<double> zero_or_reset(generator& g, extents shape) {
  tensor<double> r(std::move(shape));
  for (double& x : r.data) x = g.coin(0.2) ? -std::numeric_limits<double>::infinity() : 0;
  return r;
}

// numbers whose sigmoid is 0, 1, or three times a channel 1/2
inline tensor<double> exact_logits(generator& g, const extents& shape) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  tensor<double> r(shape);
  for (int64 b = 0; b < shape[0]; ++b)
    for (int64 h = 0; h < shape[2]; ++h)
      for (int64 i = 0; i < shape[3]; ++i) {
        int halves = 3;
        for (int64 t = 0; t < shape[1]; ++t) {
          const bool half = halves > 0 && g.coin(0.2);
          if (half) --halves;
          r(b, t, h, i) = half ? 0 : g.coin(0.2) ? -inf : inf;
        }
      }
  return r;
}

}  // namespace support
