// A recurrence against its definition as plain loops: results, and every gradient by complex steps
// of those loops, which are exact to the last digits. The loops are a template over the number, and
// find their operands by name.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <functional>
#include <gatescan/gatescan.hpp>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

namespace plain {

using gatescan::index_t;

/// What the loops read: operands by name, row-major as the recurrence declares their axes.
template <class N>
struct operands {
  index_t B = 1, L = 0, H = 1, K = 1, V = 1;
  std::map<std::string, gatescan::layout> shapes;
  std::map<std::string, std::vector<N>> numbers;
  std::vector<N> state;  // [B, H, K, V], the initial one

  bool has(const std::string& name) const { return shapes.count(name) > 0; }
  /// At head h; axes of extent 1, and fewer heads, are shared.
  N at(const std::string& name, std::vector<index_t> place) const {
    const gatescan::layout& s = shapes.at(name);
    index_t offset = 0;
    for (int i = 0; i < s.rank; ++i) {
      index_t p = place[static_cast<std::size_t>(i)];
      if (name == "B" || name == "C") p = i == 2 ? p * s.shape[2] / H : p;
      offset += (s.shape[i] == 1 ? 0 : p) * s.stride[i];
    }
    return numbers.at(name)[static_cast<std::size_t>(offset)];
  }
};
template <class N>
struct results {
  std::vector<N> out, state;  // [B, L, H, V], [B, H, K, V]
};

inline double real(double x) { return x; }
inline double real(std::complex<double> x) { return x.real(); }

template <class To>
operands<To> converted(const operands<double>& from) {
  operands<To> to{from.B, from.L, from.H, from.K, from.V, from.shapes, {}, {}};
  for (const auto& [name, x] : from.numbers) to.numbers[name].assign(x.begin(), x.end());
  to.state.assign(from.state.begin(), from.state.end());
  return to;
}

/// sum of out and state times given weights, the loss whose gradients are compared.
template <class Loops, class N>
N loss(const operands<N>& x, const results<double>& weights) {
  const results<N> r = Loops::template run<N>(x);
  N sum = 0;
  for (std::size_t i = 0; i < r.out.size(); ++i) sum += r.out[i] * weights.out[i];
  for (std::size_t i = 0; i < r.state.size(); ++i) sum += r.state[i] * weights.state[i];
  return sum;
}
template <class Loops>
std::vector<double> gradient(
    const operands<double>& x, const results<double>& weights,
    const std::function<std::vector<std::complex<double>>&(operands<std::complex<double>>&)>& of) {
  operands<std::complex<double>> z = converted<std::complex<double>>(x);
  std::vector<double> g;
  for (std::size_t i = 0; i < of(z).size(); ++i) {
    std::complex<double>& number = of(z)[i];
    const auto before = number;
    number += std::complex<double>(0, 1e-30);
    g.push_back(loss<Loops>(z, weights).imag() / 1e-30);
    number = before;
  }
  return g;
}

inline std::vector<double> normals(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(count);
  for (double& e : x) e = normal(engine);
  return x;
}

/// Largest difference by the largest number of what is wanted.
template <class T>
double difference(const std::vector<T>& got, const std::vector<double>& want) {
  double worst = 0, size = 1e-300;
  for (std::size_t i = 0; i < want.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - want[i]));
    size = std::max(size, std::abs(want[i]));
    if (!(std::abs(static_cast<double>(got[i]) - want[i]) >= 0)) return 1e300;
  }
  return want.empty() ? 0 : worst / size;
}

/// What the loops say: results, a loss's weights, and its gradients by complex steps, `T` being
/// what weights are rounded to.
template <class Loops, class T>
struct expectation {
  operands<double> x;
  results<double> want, weights;
  std::map<std::string, std::vector<double>> gradients;
  std::vector<double> d_state;

  explicit expectation(const operands<double>& given)
      : x(given), want(Loops::template run<double>(given)) {
    weights = {normals(want.out.size(), 7), normals(want.state.size(), 8)};
    for (auto* w : {&weights.out, &weights.state})
      for (double& e : *w) e = static_cast<double>(static_cast<T>(e));
    for (const auto& [name, numbers] : x.numbers)
      gradients[name] = gradient<Loops>(
          x, weights, [&, n = name ](auto& z) -> auto& { return z.numbers.at(n); });
    d_state = gradient<Loops>(
        x, weights, [](auto& z) -> auto& { return z.state; });
  }
};

/// Forward and backward of R in a mode in format T against the loops.
template <class R, class Loops, class T, class Mode, class Set>
void expect_agrees(const expectation<Loops, T>& loops, const Mode& mode, double forward,
                   double backward, const Set& set) {
  const operands<T> x = converted<T>(loops.x);
  const gatescan::layout out_shape{x.B, x.L, x.H, x.V}, state_shape{x.B, x.H, x.K, x.V};
  typename R::template inputs<T> in;
  typename R::template gradients<T> d;
  std::map<std::string, std::vector<T>> got;
  R::operands(
      [&](const char* name, const gatescan::axes&, gatescan::presence, auto& member, auto& to) {
        if (!x.has(name)) return;
        got[name].resize(x.numbers.at(name).size());
        member = {x.numbers.at(name).data(), x.shapes.at(name)};
        to = {got[name].data(), x.shapes.at(name)};
      },
      in, d);
  std::vector<T> d_state(x.state.size()), out(static_cast<std::size_t>(out_shape.size())),
      state(x.state.size());
  in.initial_state = {x.state.data(), state_shape};
  d.initial_state = {d_state.data(), state_shape};
  set(in);

  const gatescan::cpu backend{.threads = 2};
  gatescan::forward(backend, mode, in,
                    {.out = {out.data(), out_shape}, .final_state = {state.data(), state_shape}});
  EXPECT_LT(difference(out, loops.want.out), forward) << "out";
  EXPECT_LT(difference(state, loops.want.state), forward) << "final_state";

  const std::vector<T> d_out(loops.weights.out.begin(), loops.weights.out.end()),
      d_final(loops.weights.state.begin(), loops.weights.state.end());
  gatescan::backward(
      backend, mode, in,
      {.out = {d_out.data(), out_shape}, .final_state = {d_final.data(), state_shape}}, d);
  for (const auto& [name, g] : got)
    EXPECT_LT(difference(g, loops.gradients.at(name)), backward) << "gradient of " << name;
  EXPECT_LT(difference(d_state, loops.d_state), backward) << "gradient of initial_state";
}

template <class R, class F>
void in_each_mode(F&& f) {
  f(gatescan::recurrent{});
  for (const int chunk : {0, 1, 3, 19, 64}) f(gatescan::chunked{chunk});
  f(gatescan::attention{});
  if constexpr (gatescan::scannable<R>) f(gatescan::scan{.segments = 3});
}
inline const std::vector<std::tuple<index_t, index_t, index_t>> lengths_keys_values{
    {1, 1, 1}, {2, 3, 2}, {5, 4, 3}, {3, 17, 9}, {21, 3, 2}, {38, 2, 1}};

}  // namespace plain
