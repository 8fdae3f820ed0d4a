#pragma once
// Is a recurrence the same function in all its modes? For tests of recurrences of your own: what
// its form promises and its members do not keep shows as modes that disagree.

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "../api/verbs.hpp"
#include "dense_numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Where forward in some mode and format, and recurrent mode in double, disagree most.
struct mode_disagreement {
  std::string mode, format;  ///< "chunked{3}", "float"
  std::string result;        ///< "out", "final_state"; "" where there was no number to compare
  index_t element = 0;       ///< of the result, row-major
  bool imaginary = false;
  double by_mode = 0, by_recurrent = 0;
  /// Their distance over the result's largest number, or 1 if that is less, in epsilons of the
  /// format.
  double epsilons = 0;
};

namespace detail {

// Inputs of a recurrence in format T, its own copies of the caller's numbers.
template <class R, class T>
class copied_inputs {
 public:
  template <class In>
  explicit copied_inputs(const In& in) {
    R::operands(
        [&](const char*, const axes&, presence, const auto& from, auto& to) { copy(from, to); }, in,
        in_);
    for_each_part<R>(
        [&](state_part, const char*, const axes&, const auto& from, auto& to) { copy(from, to); },
        in.initial_state, in_.initial_state);
    R::options([](const char*, const auto& from, auto& to) { to = from; }, in, in_);
    in_.sequence_offsets = in.sequence_offsets;
  }
  copied_inputs(const copied_inputs&) = delete;
  copied_inputs& operator=(const copied_inputs&) = delete;

  const auto& views() const { return in_; }

 private:
  template <class From, class To>
  void copy(const From& from, To& to) {
    if (!from.given()) return;
    numbers_.push_back(copy_of<T>(from));
    for (auto* plane : {&numbers_.back().re, &numbers_.back().im})
      for (T& x : *plane) x = static_cast<T>(static_cast<float>(x));  // the same in all formats
    numbers_.back().show(to);
  }

  typename R::template inputs<T> in_;
  std::deque<dense_numbers<T>> numbers_;  // views look at them
};

// Out, and the final state where it is one tensor.
template <class T>
struct results_of_mode {
  dense_numbers<T> out, final_state;

  template <class Backend, class Mode, class In>
  results_of_mode(const Backend& backend, const Mode& mode, const In& in) {
    using R = typename In::recurrence;
    const auto p = bind_inputs<R>(in);
    out = dense_numbers<T>(R::out_axes, p.n, p.complex);
    typename R::template outputs<T> to;
    out.show(to.out);
    if constexpr (!has_parts<typename R::template state<T>>) {
      final_state = dense_numbers<T>(R::state_axes, p.n, p.complex);
      final_state.show(to.final_state);
    }
    gatescan::forward(backend, mode, in, to);
  }
};

template <class T>
void compare_results(mode_disagreement& worst, const std::string& mode, const char* format,
                     const char* result, const dense_numbers<T>& got,
                     const dense_numbers<double>& want) {
  if (std::isnan(worst.epsilons)) return;
  double largest = 1;
  for (const auto* plane : {&want.re, &want.im})
    for (const double x : *plane)
      if (std::isfinite(x)) largest = (std::max)(largest, std::fabs(x));
  for (const bool imaginary : {false, true}) {
    const auto& x = imaginary ? got.im : got.re;
    const auto& exact = imaginary ? want.im : want.re;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto number = static_cast<double>(x[i]);
      const double distance = number == exact[i] ? 0 : std::fabs(number - exact[i]) / largest;
      const double epsilons = distance / static_cast<double>(std::numeric_limits<T>::epsilon());
      if (worst.result.empty() || !(epsilons <= worst.epsilons))  // a NaN is worse than any number
        worst = {mode,      format,
                 result,    static_cast<index_t>(i),
                 imaginary, static_cast<double>(x[i]),
                 exact[i],  epsilons};
      if (std::isnan(epsilons)) return;
    }
  }
}

}  // namespace detail

/// Compares forward in every mode that the recurrence has, in double and in float, with recurrent
/// mode in double. Returns where they disagree most.
///
///     const auto worst = gatescan::check_modes(gatescan::cpu{}, in);
///     EXPECT_LT(worst.epsilons, 1000) << worst.mode << " " << worst.format;
///
/// Finds what check_gradients cannot: a gate a head that is made of something that keys have, a
/// log_gate that is not the gate's logarithm, a form that says more than the members keep.
///
/// Inputs: of double, in host memory, rounded to float first. What is right disagrees by some tens;
///         more where sums cancel and in long sequences with gates near 1.
/// Cost:   some ten forwards.
/// Errors: as forward.
template <class Backend, class In>
mode_disagreement check_modes(const Backend& backend, const In& in) {
  static_assert(std::is_same_v<typename In::format, double>,
                "gatescan: check_modes needs inputs<double>");
  using R = typename In::recurrence;
  const detail::copied_inputs<R, double> exact(in);
  const detail::results_of_mode<double> want(backend, recurrent{}, exact.views());
  mode_disagreement worst;
  const auto in_format = [&]<class T>(T, const char* format) {
    const detail::copied_inputs<R, T> given(in);
    const auto in_mode = [&]<class Mode>(const Mode& mode, const char* name) {
      if constexpr (Mode::template supports<R>) {
        const detail::results_of_mode<T> got(backend, mode, given.views());
        detail::compare_results(worst, name, format, "out", got.out, want.out);
        detail::compare_results(worst, name, format, "final_state", got.final_state,
                                want.final_state);
      }
    };
    in_mode(recurrent{}, "recurrent{}");
    in_mode(scan{2}, "scan{2}");
    in_mode(chunked{}, "chunked{}");
    in_mode(chunked{3}, "chunked{3}");
    in_mode(attention{}, "attention{}");
  };
  in_format(double{}, "double");
  in_format(float{}, "float");
  return worst;
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
