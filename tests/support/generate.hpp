// Random operands from a printed seed: the same numbers with every standard library.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <ostream>
#include <random>
#include <span>
#include <string>

#include "numbers.hpp"
#include "tensor.hpp"

namespace support {

enum class gates { mild, near_one, one, strong, resets, tiny, signs, mixed };

inline const char* name(gates kind) {
  switch (kind) {
    case gates::mild:
      return "mild";
    case gates::near_one:
      return "near_one";
    case gates::one:
      return "one";
    case gates::strong:
      return "strong";
    case gates::resets:
      return "resets";
    case gates::tiny:
      return "tiny";
    case gates::signs:
      return "signs";
    case gates::mixed:
      return "mixed";
  }
  return "?";
}
inline std::ostream& operator<<(std::ostream& out, gates kind) { return out << name(kind); }

class generator {
 public:
  explicit generator(std::uint64_t seed) : bits_(seed) {}
  /// A choice a byte, as a fuzzer gives them, and after the last one as from seed 0.
  explicit generator(std::span<const unsigned char> choices) : choices_(choices), bits_(0) {}

  double uniform(double low = 0, double high = 1) {
    const double u = (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53;
    return low + (high - low) * u;
  }
  int64 below(int64 n) { return static_cast<int64>(next() % static_cast<std::uint64_t>(n)); }
  int64 between(int64 low, int64 high) { return low + below(high - low + 1); }
  bool coin(double chance = 0.5) { return uniform() < chance; }
  double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(2 * pi * uniform()); }

  double log_gate(gates kind) {
    switch (kind) {
      case gates::mild:
      case gates::signs:
        return std::log(uniform());
      case gates::near_one:
        return std::log1p(-std::ldexp(1.0, -static_cast<int>(between(1, 24))));
      case gates::one:
        return 0;
      case gates::strong:
        return -20 * uniform(0.9, 1.1);
      case gates::resets:
        return coin(0.2) ? -std::numeric_limits<double>::infinity() : std::log(uniform());
      case gates::tiny:
        return -uniform(69.1, 87.3);  // 1e-30 .. 1e-38
      case gates::mixed:
        return log_gate(static_cast<gates>(below(6)));
    }
    return 0;
  }
  double linear_gate(gates kind) {
    const double a = std::exp(log_gate(kind));
    return (kind == gates::signs || kind == gates::mixed) && coin() ? -a : a;
  }

  tensor<double> normals(extents shape) {
    tensor<double> r(std::move(shape));
    for (double& x : r.data) x = normal();
    return r;
  }
  tensor<cplx<double>> complex_normals(extents shape) {
    tensor<cplx<double>> r(std::move(shape));
    for (auto& x : r.data) x = {normal(), normal()};
    return r;
  }
  tensor<double> uniforms(extents shape, double low, double high) {
    tensor<double> r(std::move(shape));
    for (double& x : r.data) x = uniform(low, high);
    return r;
  }
  tensor<double> log_gates(extents shape, gates kind) {
    tensor<double> r(std::move(shape));
    for (double& x : r.data) x = log_gate(kind);
    return r;
  }
  // numbers whose sigmoid is such a gate: log a - log(1 - a)
  tensor<double> logits(extents shape, gates kind) {
    return log_gates(std::move(shape), kind).map([](double g) { return logit_of_log(g); });
  }
  static double logit_of_log(double g) { return g - std::log(-std::expm1(g)); }
  tensor<double> linear_gates(extents shape, gates kind) {
    tensor<double> r(std::move(shape));
    for (double& x : r.data) x = linear_gate(kind);
    return r;
  }
  tensor<cplx<double>> complex_gates(extents shape, gates kind) {
    tensor<cplx<double>> r(std::move(shape));
    for (auto& x : r.data) {
      const double size = std::exp(log_gate(kind)), angle = uniform(-pi, pi);
      x = {size * std::cos(angle), size * std::sin(angle)};
    }
    return r;
  }
  tensor<double> phases(extents shape) { return uniforms(std::move(shape), -pi, pi); }

  // n sequences over `length` tokens, some of them empty, some of one token
  std::vector<int64> offsets(int64 n, int64 length) {
    std::vector<int64> r{0};
    for (int64 i = 1; i < n; ++i) {
      const int64 left = length - r.back();
      const int64 kind = below(4);
      r.push_back(r.back() + (kind == 0   ? 0
                              : kind == 1 ? std::min<int64>(1, left)
                                          : below(left + 1)));
    }
    r.push_back(length);
    return r;
  }

  static constexpr double pi = 3.14159265358979323846;

 private:
  std::uint64_t next() {
    if (choices_.empty()) return bits_();
    const std::uint64_t choice = choices_.front();
    choices_ = choices_.subspan(1);
    return choice << 56 | choice;  // for what takes the first bits and what takes the last
  }
  std::span<const unsigned char> choices_;
  std::mt19937_64 bits_;
};

// complex numbers with no imaginary part
inline tensor<cplx<double>> as_complex(const tensor<double>& x) {
  return x.map([](double r) { return cplx<double>(r); });
}

}  // namespace support
