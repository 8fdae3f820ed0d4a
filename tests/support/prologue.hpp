// What oracles share that make the operands of another one of their own: of the outer product of a
// matrix state (outer_product.hpp), or of channels (cases/elementwise.hpp).
#pragma once

#include <cmath>

#include "plain_loops.hpp"
#include "problem.hpp"

namespace support::oracle {

// Core is the other oracle. Self has
//   core(in)              Core's operands
//   gradients(in, c, d)   what its own get from d, those of Core's operands c
// and names its operands as every oracle does.
template <class Core, class Self>
struct prologue_of {
  using outputs = typename Core::outputs;

  // f(name, result of each structure...)
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }

  static outputs blank(const auto& in) { return Core::blank(Self::core(in)); }
  static outputs forward(const auto& in) { return Core::forward(Self::core(in)); }
  template <class Inputs>
  static Inputs backward(const Inputs& in, const outputs& dout) {
    const auto c = Self::core(in);
    return Self::gradients(in, c, Core::backward(c, dout));
  }
};

template <class R>
tensor<R> scaled(double scale, tensor<R> x) {
  for (R& e : x.data) e = R(scale) * e;
  return x;
}

// gates e^(log gate), and the gradient of the logarithms
template <class R>
tensor<R> exponentials(const tensor<R>& logs) {
  return logs.map([](const R& e) -> R {
    using std::exp;
    return exp(e);
  });
}
template <class R>
tensor<R> through_exponentials(const tensor<R>& gates, tensor<R> d) {
  for (std::size_t n = 0; n < d.data.size(); ++n) d.data[n] = keep(gates.data[n], d.data[n]);
  return d;
}

// Element (h, i) of a parameter [heads, n], where `heads` divides all heads.
template <class T>
auto& of_head(T& x, int64 h, int64 i, int64 all_heads) {
  return x(h / (all_heads / x.extent(0)), std::min(i, x.extent(1) - 1));
}

// f(b, t, h, i) for every place of a tensor [B, L, heads, n]
template <class F>
void each_place(const extents& shape, F f) {
  for (int64 b = 0; b < shape[0]; ++b)
    for (int64 t = 0; t < shape[1]; ++t)
      for (int64 h = 0; h < shape[2]; ++h)
        for (int64 i = 0; i < shape[3]; ++i) f(b, t, h, i);
}

}  // namespace support::oracle

namespace support {

// The initial state of a random problem and of an exact one, where it is to have one.
inline tensor<double> random_state(const options& c, generator& g, const extents& shape) {
  return c.initial_state ? g.normals(shape) : tensor<double>();
}
inline tensor<double> exact_state(const options& c, generator& g, const extents& shape) {
  return c.initial_state ? integers(g, shape, 2) : tensor<double>();
}
inline extents matrix_state_shape(const sizes& n, const options& c) {
  return {sequence_count(n, c), n.H, n.K, n.V};
}
inline extents channel_state_shape(const sizes& n, const options& c) {
  return {sequence_count(n, c), n.H, n.V};
}

}  // namespace support
