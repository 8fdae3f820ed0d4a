// Gradients of plain loops by complex steps, which are exact to the last digits. The loops are a
// template over the number, and find their operands by name.
#pragma once

#include <cmath>
#include <complex>
#include <functional>
#include <gatescan/core/view.hpp>
#include <map>
#include <random>
#include <string>
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
  /// Axes of extent 1 are shared.
  N at(const std::string& name, std::vector<index_t> place) const {
    const gatescan::layout& s = shapes.at(name);
    index_t offset = 0;
    for (int i = 0; i < s.rank; ++i) {
      const index_t p = place[static_cast<std::size_t>(i)];
      offset += (s.shape[i] == 1 ? 0 : p) * s.stride[i];
    }
    return numbers.at(name)[static_cast<std::size_t>(offset)];
  }
};
template <class N>
struct results {
  std::vector<N> out, state;  // [B, L, H, V], [B, H, K, V]
};

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

}  // namespace plain
