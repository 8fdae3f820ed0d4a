// Device memory for one problem: every operand of a recurrence that models give it, numbers as
// models have them, and room for its results and gradients.
#pragma once

#include <cmath>
#include <cstdint>
#include <gatescan/gatescan_cuda.cuh>
#include <map>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "numbers.hpp"
#include "reference.hpp"
#include "row.hpp"

namespace bench_cuda {

inline void check(cudaError_t code) {
  if (code != cudaSuccess) throw cuda_failure(std::string("cuda: ") + cudaGetErrorString(code));
}

template <class S>
__global__ void fill_numbers(S* to, std::int64_t count, int step, std::uint64_t seed, float low,
                             float high) {
  const std::int64_t threads = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < count;
       i += threads)
    to[i * step] = gatescan::convert<S>(number(seed, static_cast<std::uint64_t>(i), low, high));
}

/// Numbers of one operand or result; complex: two planes, apart or interleaved.
template <class S>
class array {
 public:
  array(std::int64_t count, bool complex, bool interleaved)
      : count_(count), step_(complex && interleaved ? 2 : 1), complex_(complex) {
    check(cudaMalloc(&data_, static_cast<std::size_t>(bytes())));
  }
  array(const array&) = delete;
  array& operator=(const array&) = delete;
  ~array() { cudaFree(data_); }

  std::int64_t size() const { return count_; }
  std::int64_t bytes() const {
    return count_ * (complex_ ? 2 : 1) * static_cast<std::int64_t>(sizeof(S));
  }
  bool complex() const { return complex_; }
  int step() const { return step_; }
  S* re() const { return data_; }
  S* im() const { return complex_ ? data_ + (step_ == 2 ? 1 : count_) : nullptr; }

  void fill(std::uint64_t seed, float low, float high) {
    fill_numbers<<<4096, 256>>>(re(), count_, step_, seed, low, high);
    if (complex_) fill_numbers<<<4096, 256>>>(im(), count_, step_, seed + 50, low, high);
    check(cudaGetLastError());
    check(cudaDeviceSynchronize());
  }
  /// `rows` runs of `run` numbers, `pitch` apart, of a plane.
  std::vector<double> read(const S* plane, std::int64_t first, std::int64_t run, std::int64_t rows,
                           std::int64_t pitch) const {
    const auto bytes = [this](std::int64_t n) {
      return static_cast<std::size_t>(n * step_) * sizeof(S);
    };
    // of interleaved planes both, but not past the last number
    const std::size_t width = bytes(run) - static_cast<std::size_t>(step_ - 1) * sizeof(S);
    std::vector<S> host(static_cast<std::size_t>(run * rows * step_));
    check(cudaMemcpy2D(host.data(), bytes(run), plane + first * step_, bytes(pitch), width,
                       static_cast<std::size_t>(rows), cudaMemcpyDeviceToHost));
    std::vector<double> numbers;
    numbers.reserve(static_cast<std::size_t>(run * rows));
    for (std::size_t i = 0; i < host.size(); i += static_cast<std::size_t>(step_))
      numbers.push_back(gatescan::convert<double>(host[i]));
    return numbers;
  }

 private:
  std::int64_t count_;
  int step_;
  bool complex_;
  S* data_ = nullptr;
};

/// The extent of an axis.
inline std::int64_t extent(const shape& n, gatescan::axis a) {
  using enum gatescan::axis;
  switch (a) {
    case batch:
    case sequence:
      return n.batch;
    case time:
      return n.time;
    case head:
    case channel:
      return n.heads;
    case group:
      return 1;
    case key:
      return n.keys;
    case key_or_one:
      return n.scalar_gate ? 1 : n.keys;
    case value:
      return n.values;
  }
  return 0;
}

inline gatescan::layout dense(const shape& n, const gatescan::axes& a) {
  gatescan::layout x;
  x.rank = a.rank;
  std::int64_t step = 1;
  for (int i = a.rank - 1; i >= 0; --i) {
    x.shape[i] = extent(n, a.of[i]);
    x.stride[i] = step;
    step *= x.shape[i];
  }
  return x;
}

/// A view of an array; the strides of interleaved planes count both.
template <class View, class S>
View view_of(const array<S>& x, gatescan::layout where) {
  for (int i = 0; i < where.rank; ++i) where.stride[i] *= x.step();
  if constexpr (requires(View v) { v.im; })
    return View(x.re(), x.im(), where);
  else
    return View(x.re(), where);
}

template <class R, class S>
class problem {
 public:
  using T = gatescan::device<S>;
  using state = gatescan::state_t<T>;

  typename R::template inputs<T> in;
  typename R::template outputs<T> out;
  typename R::template output_gradients<T> d_out;
  typename R::template gradients<T> d;

  /// Gradients only where they are asked for; a step has a state and no time.
  problem(const shape& n, int set, bool backward, bool step) : n_(n), set_(set) {
    R::operands(
        [&](const char* operand, const gatescan::axes& a, gatescan::presence need, auto& view,
            auto& gradient) {
          const std::string name = operand;
          const bool wanted = need == gatescan::presence::required || name == "log_magnitude" ||
                              name == "log_decay" || name == "phase" || name == "D" ||
                              name == "z" || name == "delta_bias";
          if (!wanted) return;
          const auto [low, high] = range_of(name);
          view = view_of<std::remove_reference_t<decltype(view)>>(
              make(numbers_, name, a, goes_complex(view), low, high), dense(n_, a));
          if (!backward) return;
          using gradient_view = std::remove_reference_t<decltype(gradient)>;
          gradient = view_of<gradient_view>(room(numbers_, "d_" + name, a, goes_complex(view)),
                                            dense(n_, a));
        },
        in, d);
    out.out = view_of<decltype(out.out)>(room(numbers_, "out", R::out_axes, goes_complex(out.out)),
                                         dense(n_, R::out_axes));
    if (backward)
      d_out.out = view_of<decltype(d_out.out)>(
          make(numbers_, "gradient of out", R::out_axes, goes_complex(d_out.out), -1, 1),
          dense(n_, R::out_axes));
    if constexpr (!gatescan::detail::has_parts<decltype(out.final_state)>)
      if (step)
        out.final_state = view_of<decltype(out.final_state)>(
            make(states_, "state", R::state_axes, goes_complex(out.final_state), -1, 1),
            dense(n_, R::state_axes));
    if constexpr (requires { in.softplus; }) in.softplus = true;
    if constexpr (requires { in.normalise; }) in.normalise = true;
  }
  problem(const problem&) = delete;
  problem& operator=(const problem&) = delete;

  const std::vector<operand_recipe>& recipes() const { return recipes_; }
  double bytes_of_operands() const {
    return bytes([](const std::string& n) { return !made(n); });
  }
  double bytes_of(const std::string& name) const {
    return bytes([&](const std::string& n) { return n == name; });
  }
  double bytes_of_gradients() const {
    return bytes([](const std::string& n) { return n.starts_with("d_"); });
  }
  double bytes_of_state() const {
    return states_.empty() ? 0 : static_cast<double>(states_.at("state").bytes());
  }

  /// The part of it that the CPU library is asked about: of the first sequence one head, or, where
  /// channels are independent, a few of them.
  slice cut() const {
    slice of;
    of.time = n_.time, of.keys = n_.keys;
    of.values = has_channels ? width() : n_.values;
    of.complex = n_.complex, of.scalar_gate = n_.scalar_gate;
    R::operands(
        [&](const char* name, const gatescan::axes& a, gatescan::presence, const auto& x) {
          if (x.given()) cut(numbers_.at(name), a, of.operands, name);
        },
        in);
    if (!states_.empty()) cut(states_.at("state"), R::state_axes, of.operands, "initial_state");
    if (numbers_.contains("gradient of out"))
      cut(numbers_.at("gradient of out"), R::out_axes, of.operands, "out");
    return of;
  }
  numbers_by_name cut_results() const {
    numbers_by_name results;
    cut(numbers_.at("out"), R::out_axes, results, "out");
    if (!states_.empty()) cut(states_.at("state"), R::state_axes, results, "final_state");
    return results;
  }
  /// Of operands that no other sequence, head or channel shares.
  numbers_by_name cut_gradients() const {
    numbers_by_name results;
    R::operands(
        [&](const char* operand, const gatescan::axes& a, gatescan::presence, const auto& x) {
          using enum gatescan::axis;
          const std::string name = std::string("d_") + operand;
          if (x.given() && a.has(batch) && !a.has(group)) cut(numbers_.at(name), a, results, name);
        },
        d);
    return results;
  }
  std::vector<samples> show(bool gradients) const {
    std::vector<samples> shown;
    for (const auto& [name, x] : numbers_) {
      if (name != "out" && !(gradients && name.starts_with("d_"))) continue;
      shown.push_back(sampled(name, x, x.re()));
      if (x.complex()) shown.push_back(sampled(name + "_im", x, x.im()));
    }
    return shown;
  }

 private:
  template <class E>
  using arrays = std::map<std::string, array<E>>;

  static constexpr bool has_channels =
      R::out_axes.has(gatescan::axis::channel) || R::form.gate == gatescan::gate_span::entry;

  // Of complex operands only the elementwise ones: q and k of gateloop are real in the models.
  template <class View>
  bool goes_complex(const View&) const {
    if constexpr (requires(View v) { v.im; })
      return n_.complex && (R::form.gate == gatescan::gate_span::entry ||
                            std::is_same_v<View, decltype(out.final_state)>);
    else
      return false;
  }
  static bool made(const std::string& name) {
    return name == "out" || name.starts_with("d_") || name.starts_with("gradient");
  }
  template <class E>
  array<E>& room(arrays<E>& among, const std::string& name, const gatescan::axes& a, bool complex) {
    return among.try_emplace(name, dense(n_, a).size(), complex, n_.interleaved).first->second;
  }
  template <class E>
  array<E>& make(arrays<E>& among, const std::string& name, const gatescan::axes& a, bool complex,
                 double low, double high) {
    array<E>& x = room(among, name, a, complex);
    const gatescan::layout where = dense(n_, a);
    operand_recipe recipe{name,
                          {where.shape, where.shape + where.rank},
                          recipes_.size() + 1 + 100 * static_cast<std::uint64_t>(set_),
                          static_cast<float>(low),
                          static_cast<float>(high)};
    x.fill(recipe.seed, recipe.low, recipe.high);
    recipes_.push_back(recipe);
    if (complex) {
      recipe.name += "_im", recipe.seed += 50;
      recipes_.push_back(recipe);
    }
    return x;
  }
  std::pair<double, double> range_of(const std::string& name) const {
    const double key = std::sqrt(3 / static_cast<double>(n_.keys));
    if (name == "a" && R::form.moves == gatescan::transition::low_rank) return {-key, key};
    if (name == "a") return n_.complex ? std::pair{-0.6, 0.6} : std::pair{0.8, 0.999};
    if (R::form.gate != gatescan::gate_span::entry && (name == "q" || name == "k"))
      return {R::form.normaliser ? 0 : -key, key};  // of a sum of weights both are positive
    if (name == "r" || name == "b") return {-key, key};
    if (name == "beta") return {0, 1};
    if (name == "w") return {-1, -0.05};
    if (name == "f") return {0, 4};
    if (name == "dt") return {-5, -2};
    if (name == "log_decay" || name == "log_magnitude") return {-0.1, -0.001};
    if (name == "phase") return {-3, 3};
    if (name == "delta") return {-5, -2};
    if (name == "A") return {-16, -1};
    return {-1, 1};
  }
  template <class F>
  double bytes(const F& counts) const {
    double sum = 0;
    for (const auto& [name, x] : numbers_)
      if (counts(name)) sum += static_cast<double>(x.bytes());
    return sum;
  }

  struct axis_range {
    std::int64_t first = 0, count = 0;
  };
  std::int64_t width() const {
    return std::min<std::int64_t>(8,
                                  R::out_axes.has(gatescan::axis::channel) ? n_.heads : n_.values);
  }
  // Copies a slice: in each token (or once) one run of numbers.
  template <class E>
  void cut(const array<E>& x, const gatescan::axes& a, numbers_by_name& to,
           const std::string& as) const {
    using enum gatescan::axis;
    std::int64_t first = 0, run = 1, pitch = 1;
    for (int i = 0; i < a.rank; ++i) {
      if (a.of[i] == batch || a.of[i] == sequence || a.of[i] == time) continue;
      const std::int64_t whole = extent(n_, a.of[i]);
      axis_range part{0, whole};
      if (a.of[i] == channel || (a.of[i] == value && has_channels)) part = {middle(whole), width()};
      if (a.of[i] == head) part = {whole / 2, 1};
      first = first * whole + part.first;
      run = run * part.count;
      pitch *= whole;
    }
    const std::int64_t rows = a.has(time) ? n_.time : 1;
    to[as] = x.read(x.re(), first, run, rows, pitch);
    if (x.complex()) to[as + "_im"] = x.read(x.im(), first, run, rows, pitch);
  }
  std::int64_t middle(std::int64_t whole) const { return (whole - width()) / 2; }

  static samples sampled(const std::string& name, const array<S>& x, const S* plane) {
    samples s{name, {}, {}};
    for (std::int64_t i = 0; i < 128; ++i) {
      s.places.push_back(sample(i, x.size()));
      s.values.push_back(static_cast<float>(x.read(plane, s.places.back(), 1, 1, 1)[0]));
    }
    return s;
  }

  shape n_;
  int set_;
  arrays<S> numbers_;
  arrays<state> states_;
  std::vector<operand_recipe> recipes_;
};

}  // namespace bench_cuda
