// Problems whose arithmetic is exact: gates 0, +-1/2, +-1, +-2 (and times i), small integers, no
// product of gates outside of 2^-4 .. 2^4. Then every order of evaluation gives the same bits.
#pragma once

#include <limits>

#include "problems.hpp"

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

inline void make_exact(real_elementwise::inputs& in, const sizes& n, const options& c,
                       generator& g) {
  in.a = exact_gate_tensor<double>(g, {n.B, n.L, n.H / c.group, n.V});
  in.x = integers(g, {n.B, n.L, n.H, n.V}, 3);
  if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.V}, 3);
}
inline void make_exact(complex_elementwise::inputs& in, const sizes& n, const options& c,
                       generator& g) {
  in.a = exact_gate_tensor<cplx<double>>(g, {n.B, n.L, n.H / c.group, n.V});
  in.x = complex_integers(g, {n.B, n.L, n.H, n.V}, 3);
  if (c.initial_state) in.initial_state = complex_integers(g, {sequence_count(n, c), n.H, n.V}, 3);
}
inline void make_exact(gateloop::inputs& in, const sizes& n, const options& c, generator& g) {
  const extents keys{n.B, n.L, n.H / c.group, n.K};
  in.q = complex_integers(g, {n.B, n.L, n.H, n.K}, 2);
  in.k = complex_integers(g, keys, 2);
  in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
  if (c.linear)
    in.a = exact_gate_tensor<cplx<double>>(g, keys);
  else
    in.log_magnitude = zero_or_reset(g, keys);
  if (c.initial_state)
    in.initial_state = complex_integers(g, {sequence_count(n, c), n.H, n.K, n.V}, 2);
}
inline void make_exact(gla::inputs& in, const sizes& n, const options& c, generator& g) {
  in.q = integers(g, {n.B, n.L, n.H, n.K}, 2);
  in.k = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
  in.v = integers(g, {n.B, n.L, n.H, n.V}, 2);
  in.log_decay = zero_or_reset(g, {n.B, n.L, n.H / c.group, c.scalar_decay ? 1 : n.K});
  if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.K, n.V}, 2);
  in.scale = 0.5;
}
inline void make_exact(selective_scan::inputs& in, const sizes& n, const options& c, generator& g) {
  in.u = integers(g, {n.B, n.L, n.H}, 2);
  in.delta = integers(g, {n.B, n.L, n.H}, 1);
  for (double& x : in.delta.data) x += 3;  // never 0: 0 times an A of -inf is no gate
  in.A = zero_or_reset(g, {n.H, n.K});
  in.B = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
  in.C = integers(g, {n.B, n.L, n.H / c.group, n.K}, 2);
  if (c.D) in.D = integers(g, {n.H}, 2);
  if (c.delta_bias) in.delta_bias = integers(g, {n.H}, 1);
  if (c.initial_state) in.initial_state = integers(g, {sequence_count(n, c), n.H, n.K}, 2);
}

template <class O>
typename O::inputs exact_problem(const sizes& n, const options& c, std::uint64_t seed) {
  generator g(seed);
  typename O::inputs in;
  make_exact(in, n, c, g);
  pack(in, n, c, g);
  return in;
}

template <class O>
typename O::outputs exact_gradients(const typename O::outputs& like, std::uint64_t seed) {
  generator g(seed);
  typename O::outputs r = like;
  O::results(
      [&g](const char*, auto& x) {
        for (auto& e : x.data) {
          const auto integer = [&g] { return static_cast<double>(g.between(-2, 2)); };
          if constexpr (requires { e.re; })
            e = {integer(), integer()};
          else
            e = integer();
        }
      },
      r);
  return r;
}

}  // namespace support
