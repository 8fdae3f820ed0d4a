// Device memory for one problem: every operand of a recurrence that it needs, numbers as models
// feed them, and room for its results and gradients.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <gatescan/gatescan_cuda.cuh>
#include <string>
#include <vector>

namespace bench_cuda {

inline void check(cudaError_t code) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "cuda: %s\n", cudaGetErrorString(code));
  std::exit(1);
}

struct shape {
  std::int64_t batch, time, heads, keys, values;  // selective_scan: channels and states
};

template <class S>
class array {
 public:
  explicit array(std::int64_t count) : count_(static_cast<std::size_t>(count)) {
    check(cudaMalloc(&data_, count_ * sizeof(S)));
  }
  array(const array&) = delete;
  array& operator=(const array&) = delete;
  ~array() { cudaFree(data_); }

  S* data() const { return data_; }
  void fill(double low, double high, std::uint64_t seed) {
    std::vector<S> host(count_);
    for (S& x : host) {
      seed = seed * 6364136223846793005u + 1442695040888963407u;
      const double even = static_cast<double>(seed >> 11) * 0x1p-53;
      x = gatescan::convert<S>(static_cast<float>(low + (high - low) * even));
    }
    check(cudaMemcpy(data_, host.data(), count_ * sizeof(S), cudaMemcpyHostToDevice));
  }
  std::vector<float> to_host() const {
    std::vector<S> host(count_);
    check(cudaMemcpy(host.data(), data_, count_ * sizeof(S), cudaMemcpyDeviceToHost));
    std::vector<float> numbers;
    for (const S x : host) numbers.push_back(gatescan::convert<float>(x));
    return numbers;
  }

 private:
  std::size_t count_;
  S* data_ = nullptr;
};

template <class R, class T>
typename R::template problem<T> problem_of(const shape& n) {
  using problem = typename R::template problem<T>;
  if constexpr (requires(problem p) { p.states; })
    return {.batch = n.batch, .time = n.time, .channels = n.heads, .states = n.keys};
  else
    return {.batch = n.batch, .time = n.time, .heads = n.heads, .keys = n.keys, .values = n.values};
}

template <class R, class S>
class operands {
 public:
  using T = gatescan::device<S>;
  // [batch, time, channels]: no heads, no values
  static constexpr bool channels = requires(typename R::template problem<T> p) { p.states; };

  typename R::template inputs<T> in;
  array<S> out, d_out;

  explicit operands(const shape& n)
      : out(n.batch * n.time * n.heads * n.values),
        d_out(n.batch * n.time * n.heads * n.values),
        n_(n) {
    d_out.fill(-1, 1, 99);
    R::operands(
        [&](const char* operand, const gatescan::axes& a, gatescan::presence need, auto& view,
            auto& gradient) {
          const std::string name = operand;
          const bool wanted = need == gatescan::presence::required || name == "log_magnitude" ||
                              name == "phase" || name == "D" || name == "delta_bias";
          if (!wanted) return;
          give(name, a, view, true), give(name, a, gradient, false);
        },
        in, gradients_);
    if constexpr (requires { in.softplus; }) in.softplus = true;
  }
  auto results() const { return typename R::template outputs<T>{.out = out_view<S>(out)}; }
  auto result_gradients() const {
    return typename R::template output_gradients<T>{.out = out_view<const S>(d_out)};
  }
  const auto& gradients() const { return gradients_; }

 private:
  template <class E>
  gatescan::view<E> out_view(const array<S>& x) const {
    if constexpr (channels)
      return {x.data(), {n_.batch, n_.time, n_.heads}};
    else
      return {x.data(), {n_.batch, n_.time, n_.heads, n_.values}};
  }
  std::int64_t extent(gatescan::axis a) const {
    switch (a) {
      case gatescan::axis::batch:
      case gatescan::axis::sequence:
        return n_.batch;
      case gatescan::axis::time:
        return n_.time;
      case gatescan::axis::head:
      case gatescan::axis::channel:
        return n_.heads;
      case gatescan::axis::group:
        return 1;
      case gatescan::axis::key:
      case gatescan::axis::key_or_one:
        return n_.keys;
      case gatescan::axis::value:
        return n_.values;
    }
    return 0;
  }
  template <class View>
  void give(const std::string& name, const gatescan::axes& a, View& view, bool filled) {
    gatescan::layout where;
    where.rank = a.rank;
    std::int64_t count = 1;
    for (int i = a.rank - 1; i >= 0; --i) {
      where.shape[i] = extent(a.of[i]), where.stride[i] = count;
      count *= where.shape[i];
    }
    array<S>& numbers = memory_.emplace_back(count);
    if (filled) fill(name, numbers);
    if constexpr (requires { view.im; })
      view = View(numbers.data(), nullptr, where);
    else
      view = View(numbers.data(), where);
  }
  void fill(const std::string& name, array<S>& numbers) const {
    const double key = std::sqrt(3.0 / static_cast<double>(n_.keys));
    const auto seed = static_cast<std::uint64_t>(memory_.size());
    if (name == "q" || name == "k") return numbers.fill(-key, key, seed);
    if (name == "log_decay" || name == "log_magnitude") return numbers.fill(-0.1, -0.001, seed);
    if (name == "phase") return numbers.fill(-3, 3, seed);
    if (name == "delta") return numbers.fill(-5, -2, seed);
    if (name == "A") return numbers.fill(-16, -1, seed);
    numbers.fill(-1, 1, seed);
  }

  shape n_;
  typename R::template gradients<T> gradients_;
  std::deque<array<S>> memory_;
};

}  // namespace bench_cuda
