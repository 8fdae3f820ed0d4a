// A small problem of any recurrence, made from its own list of operands: dense views on memory
// that a test may look at and change.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <gatescan/gatescan.hpp>
#include <map>
#include <string>
#include <type_traits>
#include <vector>

#include "../../examples/own_recurrences.hpp"
#include "../support/generate.hpp"

namespace support {

inline constexpr double untouched = 777;

// A program may want only some.
#ifdef GATESCAN_TEST_RECURRENCES
using tested_recurrences = gatescan::type_list<GATESCAN_TEST_RECURRENCES>;
#else
using tested_recurrences = gatescan::all_recurrences;
#endif
/// The library's recurrences and more, as a list for TYPED_TEST_SUITE.
template <class All, class... More>
struct types_of;
template <class... R, class... More>
struct types_of<gatescan::type_list<R...>, More...> {
  using type = ::testing::Types<R..., More...>;
};
template <class... More>
using every_recurrence_and = typename types_of<tested_recurrences, More...>::type;

inline gatescan::layout layout_of(const gatescan::axes& a, const gatescan::sizes& n) {
  gatescan::layout x;
  x.rank = a.rank;
  gatescan::index_t step = 1;
  for (int i = a.rank - 1; i >= 0; --i) {
    x.shape[i] = gatescan::detail::extent(n, a.of[i]);
    x.stride[i] = step;
    step *= x.shape[i];
  }
  return x;
}

/// "initial_state", or "initial_state.m" of a part.
inline std::string part_name(const std::string& state, const char* part) {
  return part == nullptr ? state : state + "." + part;
}

template <class R, class T = double>
struct dense_problem {
  using inputs = typename R::template inputs<T>;
  using outputs = typename R::template outputs<T>;
  using output_gradients = typename R::template output_gradients<T>;
  using gradients = typename R::template gradients<T>;

  static constexpr int64 room = 1000;  // so that any result finds room in any memory
  gatescan::sizes n;
  bool planes;  // of complex views: two
  inputs in{};
  outputs out{};
  output_gradients d_out{};
  gradients d{};
  std::map<std::string, std::vector<T>> memory;  // of views, by name; of gradients: "d_" name

  explicit dense_problem(const gatescan::sizes& size = {2, 2, 20, 4, 3, 5},
                         bool complex = R::form.number == gatescan::numbers::complex)
      : n(size), planes(complex) {
    if constexpr (requires { R::states; }) n.keys = R::states;
    if constexpr (requires { in.softplus; }) in.softplus = true;
    if constexpr (requires { in.lower; }) in.lower = 0.25;
    if constexpr (R::form.normaliser && requires { in.normalise; }) in.normalise = true;
    for_each_operand([&](const std::string& name, const gatescan::axes& a, auto& x, auto& dx) {
      if (std::is_same_v<R, gatescan::gateloop> && name == "a") return;  // instead of two others
      place(name, layout_of(a, n), x);
      place("d_" + name, layout_of(a, n), dx);
    });
    const gatescan::layout o = layout_of(R::out_axes, n);
    for_each_part([&](const char* part, const gatescan::axes& a, bool has_gradient, auto& initial,
                      auto& final, auto& d_initial, auto& d_final) {
      const gatescan::layout where = layout_of(a, n);
      place(part_name("initial_state", part), where, initial);
      place(part_name("final_state", part), where, final);
      if (!has_gradient) return;
      place(part_name("d_initial_state", part), where, d_initial);
      place(part_name("d_final_state", part), where, d_final);
    });
    place("out", o, out.out);
    place("d_out", o, d_out.out);
  }
  dense_problem(const dense_problem&) = delete;  // the views look into the memory
  dense_problem& operator=(const dense_problem&) = delete;

  // f(name, axes, operand, gradient)
  template <class F>
  void for_each_operand(F&& f) {
    R::operands([&](const char* name, const gatescan::axes& a, gatescan::presence, auto& x,
                    auto& dx) { f(std::string(name), a, x, dx); },
                in, d);
  }
  // f(name or null, axes, whether it has a gradient, initial, final, gradient of each) for every
  // part of the state
  template <class F>
  void for_each_part(F&& f) {
    gatescan::detail::for_each_part<R>(
        [&](gatescan::state_part which, const char* part, const gatescan::axes& a, auto&... x) {
          f(part, a, which != gatescan::state_part::log_scale, x...);
        },
        in.initial_state, out.final_state, d.initial_state, d_out.final_state);
  }
  // A view of `where` on memory of its own: of numbers if it is an operand, else of `untouched`.
  template <class View>
  void place(const std::string& name, const gatescan::layout& where, View& x) {
    constexpr bool is_operand = std::is_const_v<typename View::element>;
    std::vector<T>& m = memory[name];
    m.assign(static_cast<std::size_t>(std::max<int64>(where.size() * 2, room)), T(untouched));
    if (is_operand)
      for (T& number : m)
        number = static_cast<T>(random.uniform(-1, -0.1));  // good for log gates as well
    if constexpr (requires { x.im; })
      x = {m.data(), planes ? m.data() + where.size() : nullptr, where};
    else
      x = {m.data(), where};
  }

  static bool is_result_of_forward(const std::string& name) {
    return name == "out" || name.rfind("final_state", 0) == 0;
  }
  bool nothing_written() const {
    for (const auto& [name, numbers] : memory)
      if (is_result_of_forward(name) || name.rfind("d_initial_state", 0) == 0)
        if (numbers != std::vector<T>(numbers.size(), T(untouched))) return false;
    return true;
  }
  template <class Mode>
  void forward(const Mode& mode) {
    gatescan::forward(gatescan::cpu{.threads = 1}, mode, in, out);
  }
  template <class Mode>
  void backward(const Mode& mode) {
    gatescan::backward(gatescan::cpu{.threads = 1}, mode, in, d_out, d);
  }

 private:
  generator random{7};
};

// what() of the shape_error that f throws; empty if it throws none
template <class F>
std::string refusal(F&& f) {
  try {
    f();
  } catch (const gatescan::shape_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace support
