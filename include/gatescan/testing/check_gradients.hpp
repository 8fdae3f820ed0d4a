#pragma once
// Are a recurrence's adjoints the derivative of its forward? For tests of recurrences of your own.

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <string>
#include <type_traits>

#include "../api/verbs.hpp"
#include "dense_numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Where backward and differences of forward disagree most.
struct gradient_disagreement {
  std::string operand;  ///< its name; "" where there was no operand to compare
  index_t element = 0;  ///< of the operand, row-major
  bool imaginary = false;
  double by_backward = 0, by_differences = 0;
  double error = 0;  ///< their distance over the operand's largest gradient, or 1 if that is less
};

namespace detail {

// Copies of a recurrence's operands, where a test may change one number, and a loss of its results.
template <class Backend, class Mode, class In>
class perturbed_problem {
 public:
  using R = typename In::recurrence;
  using gradients_type = typename R::template gradients<double>;

  struct operand_copy {
    std::string name;
    dense_numbers<double> value, gradient;
  };

  perturbed_problem(const Backend& backend, const Mode& mode, const In& in)
      : backend_(backend), mode_(mode), in_(in) {
    const auto p = bind_inputs<R>(in);
    for_each_operand(in_, d_, [&](const char* name, auto& x, auto& d) {
      if (!x.given()) return;
      dense_numbers<double> value = copy_of<double>(x);
      dense_numbers<double> gradient(value.where, !value.im.empty());
      operands_.push_back({name, std::move(value), std::move(gradient)});
      operands_.back().value.show(x);
      operands_.back().gradient.show(d);
    });
    weights_out_ = out_ = dense_numbers<double>(R::out_axes, p.n, p.complex);
    weights_out_.fill(1);
    for_each_part<R>(
        [&](state_part which, const char*, const axes& a, const auto&) {
          if (which == state_part::normaliser && !p.normalised) return;
          const dense_numbers<double> part(a, p.n, p.complex);
          state_numbers& state = states_[static_cast<std::size_t>(which)];
          state = {part, part, {}};
          state.weights.fill(2);
        },
        in_.initial_state);
  }

  std::deque<operand_copy>& operands() { return operands_; }

  /// The sum of all results, each times a weight of its own.
  double loss() {
    typename R::template outputs<double> results;
    out_.show(results.out);
    for_each_part<R>(
        [&](state_part which, const char*, const axes&, auto& x) {
          if (state_of(which).given()) state_of(which).numbers.show(x);
        },
        results.final_state);
    gatescan::forward(backend_, mode_, in_, results);
    double sum = weighted(out_, weights_out_);
    for (const state_part which : {state_part::product, state_part::normaliser}) {
      state_numbers& x = state_of(which);
      if (!x.given()) continue;
      x.scaled_weights = x.weights;
      scale_by_m(x.scaled_weights);
      sum += weighted(x.numbers, x.scaled_weights);
    }
    return sum;
  }
  /// Sets every operand's gradient.
  void differentiate() {
    typename R::template output_gradients<double> weights;
    weights_out_.show(weights.out);
    loss();  // finds m
    for_each_part<R>(
        [&](state_part which, const char*, const axes&, auto& x) {
          if (which != state_part::log_scale && state_of(which).given())
            state_of(which).scaled_weights.show(x);
        },
        weights.final_state);
    gatescan::backward(backend_, mode_, in_, weights, d_);
  }

 private:
  template <class F>
  static void for_each_operand(In& in, gradients_type& d, F f) {
    R::operands([&](const char* name, const axes&, presence, auto& x, auto& dx) { f(name, x, dx); },
                in, d);
    for_each_part<R>(
        [&](state_part which, const char* part, const axes&, auto& x, auto& dx) {
          if (which != state_part::log_scale)
            f(std::string(operand_name("initial_state", false, part)).c_str(), x, dx);
        },
        in.initial_state, d.initial_state);
  }
  // Weights of numbers that stand for themselves times e^m.
  void scale_by_m(dense_numbers<double>& weights) {
    const state_numbers& m = state_of(state_part::log_scale);
    if (!m.given() || m.numbers.re.empty()) return;
    const std::size_t each = weights.re.size() / m.numbers.re.size();
    for (std::size_t i = 0; i < weights.re.size(); ++i)
      weights.re[i] *= std::exp(m.numbers.re[i / each]);
  }
  static double weighted(const dense_numbers<double>& x, const dense_numbers<double>& weight) {
    double sum = 0;
    for (std::size_t i = 0; i < x.re.size(); ++i) sum += x.re[i] * weight.re[i];
    for (std::size_t i = 0; i < x.im.size(); ++i) sum += x.im[i] * weight.im[i];
    return sum;
  }

  const Backend& backend_;
  const Mode& mode_;
  In in_;
  gradients_type d_{};
  std::deque<operand_copy> operands_;  // views look at their numbers
  struct state_numbers {
    dense_numbers<double> numbers, weights, scaled_weights;
    bool given() const { return numbers.where.rank != 0; }
  };
  state_numbers& state_of(state_part which) { return states_[static_cast<std::size_t>(which)]; }

  dense_numbers<double> out_, weights_out_;
  state_numbers states_[most_parts];
};

}  // namespace detail

/// Compares backward with differences of forward, for every operand that is given and its initial
/// state:
///   d loss / dx = (8 (f(x + h) - f(x - h)) - (f(x + 2h) - f(x - 2h))) / (12 h),
///   h = 0.001, and where that disagrees a quarter, and a quarter of that, whichever agrees best,
/// where the loss is the sum of `out` and `final_state`, each number times a weight of its own (and
/// e^m, where a state has such a part: m itself is not differentiated).
/// Returns where they disagree most; what is right disagrees by about 1e-11, and by 1e-9 where the
/// loss bends so much that smaller steps were needed, as with phases that turn far in a sequence.
///
///     const auto worst = gatescan::check_gradients(gatescan::cpu{}, gatescan::chunked{}, in);
///     EXPECT_LT(worst.error, 1e-8) << worst.operand;
///
/// Inputs: of double, in host memory. Numbers at which the recurrence is smooth, and odd sizes;
///         once with 16 keys or values or more, where `adds_once` counts. Leave resets out: no
///         number near a gate of exactly 0 is one. Views with strides of 0 are compared as if their
///         numbers were each its own.
/// Cost:   four forwards for each number of the inputs, twelve where they disagree: some hundred
///         numbers take seconds at most.
/// Errors: as forward and backward.
template <class Backend, class Mode, class In>
gradient_disagreement check_gradients(const Backend& backend, const Mode& mode, const In& in) {
  static_assert(std::is_same_v<typename In::format, double>,
                "gatescan: check_gradients needs inputs<double>: differences in a smaller format "
                "are no derivatives");
  detail::perturbed_problem problem(backend, mode, in);
  problem.differentiate();
  gradient_disagreement worst;
  for (auto& x : problem.operands()) {
    if (worst.operand.empty()) worst.operand = x.name;
    double largest = 1;
    for (const auto* plane : {&x.gradient.re, &x.gradient.im})
      for (const double d : *plane) largest = (std::max)(largest, std::fabs(d));
    for (const bool imaginary : {false, true}) {
      auto& numbers = imaginary ? x.value.im : x.value.re;
      const auto& gradients = imaginary ? x.gradient.im : x.gradient.re;
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        const double number = numbers[i];
        const auto at = [&](double moved) {
          numbers[i] = number + moved;
          return problem.loss();
        };
        double slope = 0, error = std::numeric_limits<double>::infinity();
        for (double h = 1e-3; h > 5e-5 && !(error < 1e-10); h /= 4) {
          const double across = at(h) - at(-h), twice_across = at(2 * h) - at(-2 * h);
          const double by_h = (8 * across - twice_across) / (12 * h);
          const double error_by_h = std::fabs(by_h - gradients[i]) / largest;
          if (!(error_by_h >= error)) slope = by_h, error = error_by_h;
          if (std::isnan(error)) break;
        }
        numbers[i] = number;
        if (!(error <= worst.error))  // a NaN is worse than any number
          worst = {x.name, static_cast<index_t>(i), imaginary, gradients[i], slope, error};
        if (std::isnan(error)) return worst;
      }
    }
  }
  return worst;
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
