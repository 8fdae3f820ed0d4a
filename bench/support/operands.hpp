// Random operands of one problem, the same numbers in every run, and room for its results.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <gatescan/gatescan.hpp>
#include <map>
#include <new>
#include <numbers>
#include <string_view>

#include "shape.hpp"

namespace bench {

template <class T>
struct cache_lines {  // an allocator: where tensor libraries put their tensors too
  using value_type = T;
  static constexpr std::align_val_t line{64};
  cache_lines() = default;
  template <class U>
  cache_lines(const cache_lines<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), line)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, line); }
  bool operator==(const cache_lines&) const { return true; }
};

template <class S>
struct array {  // dense, real or complex as two planes
  layout where;
  std::vector<S, cache_lines<S>> re, im;

  array() = default;
  array(const layout& l, bool complex) : where(l), re(count()), im(complex ? count() : 0) {}

  std::size_t count() const { return static_cast<std::size_t>(where.size()); }
  std::size_t bytes() const { return (re.size() + im.size()) * sizeof(S); }

  template <class V>
  void show(V& view) {  // V: a view or a complex_view of S or const S
    if constexpr (requires { view.im; })
      view = V(re.data(), im.empty() ? nullptr : im.data(), where);
    else
      view = V(re.data(), where);
  }
};

// Number i of the stream called `name`, evenly from 0 to 1.
class stream {
 public:
  explicit stream(std::string_view name) {
    for (const char c : name) seed_ = mix(seed_ + static_cast<unsigned char>(c));
  }
  double operator()(std::uint64_t i) const {
    return static_cast<double>(mix(seed_ + i * 0x9e3779b97f4a7c15u) >> 11) * 0x1p-53;
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {  // splitmix64
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }
  std::uint64_t seed_ = 1;
};

struct range {
  double low, high;
};

// What models feed: gates that keep most of the state, keys of length about 1, Mamba's step sizes.
inline range range_of(std::string_view name, const sizes& n) {
  const double wide = std::sqrt(3.0), key = wide / std::sqrt(static_cast<double>(n.keys));
  if (name == "q" || name == "k" || name == "r") return {-key, key};
  if (name == "a") return {0.9, 1};
  if (name == "log_decay" || name == "log_magnitude" || name == "w") return {-0.1, -0.001};
  if (name == "f") return {2, 7};         // gates of 0.88 to 0.999
  if (name == "Lambda") return {-9, -4};  // gates of 0.9 to 0.999 at least
  if (name == "phase") return {-std::numbers::pi, std::numbers::pi};
  if (name == "beta" || name == "lower_bound") return {0, 1};
  if (name == "delta" || name == "dt") return {-5, -2};
  if (name == "A") return {-16, -1};
  return {-wide, wide};
}

template <class S>
void fill(array<S>& x, std::string_view name, const range& r) {
  const stream u(name);
  const auto number = [&](std::uint64_t i) { return r.low + (r.high - r.low) * u(i); };
  for (std::size_t i = 0; i < x.re.size(); ++i) {
    if (x.im.empty()) {
      x.re[i] = gatescan::convert<S>(number(i));
      continue;
    }
    double re = number(2 * i), im = number(2 * i + 1);
    if (name == "a") {  // a modulus from the range, and any angle
      const double angle = 2 * std::numbers::pi * u(2 * i + 1), modulus = re;
      re = modulus * std::cos(angle), im = modulus * std::sin(angle);
    }
    x.re[i] = gatescan::convert<S>(re);
    x.im[i] = gatescan::convert<S>(im);
  }
}

inline bool is_in(const std::vector<std::string_view>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

/// A state of recurrence R, a part at a time.
template <class R, class S>
struct state_arrays {
  std::map<gatescan::state_part, array<S>> parts;

  state_arrays() = default;
  state_arrays(const shape& s, bool normalised) {
    gatescan::detail::for_each_part<R>(
        [&](gatescan::state_part which, const char*, const axes& a, const auto&) {
          if (which != gatescan::state_part::normaliser || normalised)
            parts[which] = array<S>(dense(a, s), s.is_complex());
        },
        typename R::template outputs<S>{}.final_state);
  }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (const auto& [which, x] : parts) sum += x.bytes();
    return sum;
  }
  template <class State>
  void show(State& state) {
    gatescan::detail::for_each_part<R>(
        [&](gatescan::state_part which, const char*, const axes&, auto& view) {
          if (const auto x = parts.find(which); x != parts.end()) x->second.show(view);
        },
        state);
  }
  void clear() {
    for (auto& [which, x] : parts) std::fill(x.re.begin(), x.re.end(), S(0));
  }
  // numbers to step from: a normaliser is positive, and nothing is scaled
  void fill(const sizes& n) {
    for (auto& [which, x] : parts) {
      if (which == gatescan::state_part::log_scale) continue;
      bench::fill(x, "state", range_of("state", n));
      if (which == gatescan::state_part::normaliser)
        for (S& e : x.re) e = std::abs(e);
    }
  }
};

/// Operands, results and gradients of recurrence R in format T.
template <class R, class T>
struct operands {
  using storage = gatescan::storage_t<T>;
  using state = gatescan::state_t<T>;

  explicit operands(const shape& of, bool backward) : s(of) {
    R::operands(
        [&](const char* name, const axes& a, gatescan::presence, auto& view) {
          if (is_in(s.absent, name)) return;
          auto& x = numbers[name] =
              array<storage>(dense(a, s, is_in(s.shared, name)), is_in(s.complex, name));
          fill(x, name, range_of(is_in(s.as_keys, name) ? "k" : name, s.n));
          if (is_in(s.positive, name))
            for (storage& e : x.re)
              e = gatescan::convert<storage>(std::abs(gatescan::convert<double>(e)));
          x.show(view);
        },
        in);
    R::options([this](const char* name, auto& option) { set(name, option); }, in);

    const bool complex_out = requires { outputs.out.im; };
    out = array<storage>(dense(R::out_axes, s), complex_out && s.is_complex());
    final_state = state_arrays<R, state>(s, gatescan::detail::has_normaliser<R>(in));
    out.show(outputs.out);
    final_state.show(outputs.final_state);
    if (!backward) return;

    fill(out, "d_out", range_of("d_out", s.n));
    out.show(output_gradients.out);
    R::operands(
        [&](const char* name, const axes& a, gatescan::presence, auto& view) {
          if (is_in(s.absent, name)) return;
          auto& x = gradients_of[name] =
              array<storage>(dense(a, s, is_in(s.shared, name)), is_in(s.complex, name));
          x.show(view);
        },
        gradients);
  }

  std::size_t bytes() const {  // of all that a call must read or write
    std::size_t sum = out.bytes();
    for (const auto& [name, x] : numbers) sum += x.bytes();
    for (const auto& [name, x] : gradients_of) sum += x.bytes();
    return sum;
  }

  // switches are on but those that are absent, a scale is that of attention, other numbers are as
  // the recurrence has them
  void set(std::string_view name, bool& option) const { option = !is_in(s.absent, name); }
  void set(std::string_view name, double& option) const {
    if (name == "scale") option = 1 / std::sqrt(static_cast<double>(s.n.keys));
  }

  shape s;
  std::map<std::string, array<storage>> numbers, gradients_of;
  array<storage> out;  // or the gradient of it
  state_arrays<R, state> final_state;
  typename R::template inputs<T> in{};
  typename R::template outputs<T> outputs{};
  typename R::template output_gradients<T> output_gradients{};
  typename R::template gradients<T> gradients{};
};

}  // namespace bench
