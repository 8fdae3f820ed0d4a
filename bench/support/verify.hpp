// No number without a proof: a cell is compared with the double oracle before it is timed.
//
// Small problems are compared whole. Of a large one a window is compared: the last tokens of the
// first sequence, in the first heads and values (or channels). The call that is checked is the call
// that is timed, on all of the operands. Two things make the window a problem of its own: the token
// before it forgets everything and writes nothing, and in backward the gradient of all outputs
// outside of it is 0.
#pragma once

#include <algorithm>
#include <cstdio>
#include <limits>
#include <tests/support/operand_set.hpp>
#include <utility>
#include <vector>

#include "operands.hpp"

namespace bench {

using support::cplx;
using support::tensor;

struct window {
  index_t first_token;
  sizes n;
};

inline window window_of(const sizes& n) {
  constexpr index_t most = 1 << 19;  // state entries times tokens that the oracle takes in no time
  window w{0, n};
  const auto shrink = [&](index_t& extent, index_t least) {
    const index_t others = w.n.batch * w.n.time * w.n.heads * w.n.keys * w.n.values / extent;
    extent = std::min(extent, std::max(least, most / others));
  };
  shrink(w.n.batch, 1);
  shrink(w.n.heads, 1);
  shrink(w.n.time, 64);
  shrink(w.n.values, 16);
  w.n.sequences = w.n.batch;
  w.first_token = n.time - w.n.time;
  return w;
}

// Calls f(place in memory) for the window's part of a layout, row-major. Returns its extents.
template <class F>
support::extents for_each_place(const layout& x, const axes& a, const window& w, F&& f) {
  support::extents extents, at;
  index_t place = 0;
  for (int i = 0; i < x.rank; ++i) {
    extents.push_back(std::min(x.shape[i], extent(w.n, a.of[i])));
    if (a.of[i] == axis::time) place += w.first_token * x.stride[i];
  }
  at.assign(extents.size(), 0);
  for (index_t left = support::count(extents); left > 0; --left) {
    f(place);
    for (int i = x.rank - 1; i >= 0; --i) {
      const auto u = static_cast<std::size_t>(i);
      place += x.stride[i];
      if (++at[u] < extents[u]) break;
      place -= at[u] * x.stride[i];
      at[u] = 0;
    }
  }
  return extents;
}

template <class V>
double number_at(const V& x, index_t place, bool imaginary) {
  if constexpr (requires { x.im; }) {
    if (imaginary) return x.im == nullptr ? 0 : gatescan::convert<double>(x.im[place]);
    return gatescan::convert<double>(x.re[place]);
  } else {
    return imaginary ? 0 : gatescan::convert<double>(x.data[place]);
  }
}

template <class V, class E>
void read(const V& from, const axes& a, const window& w, tensor<E>& to) {
  if (!from.given()) return;
  to.shape = for_each_place(from, a, w, [&](index_t place) {
    if constexpr (requires(E e) { e.re; })
      to.data.push_back({number_at(from, place, false), number_at(from, place, true)});
    else
      to.data.push_back(number_at(from, place, false));
  });
}

// Root mean square of x - y, relative to y's.
template <class E>
double relative_error(const tensor<E>& x, const tensor<E>& y) {
  const auto square = [](const E& e) {
    if constexpr (requires { e.re; })
      return e.re * e.re + e.im * e.im;
    else
      return e * e;
  };
  if (x.shape != y.shape) return std::numeric_limits<double>::infinity();
  double error = 0, size = 0;
  for (std::size_t i = 0; i < x.data.size(); ++i) {
    error += square(x.data[i] - y.data[i]);
    size += square(y.data[i]);
  }
  return error == 0 ? 0 : std::sqrt(error / size);
}

// What one rounding to the result's type, and float or double arithmetic in between, may cost.
template <class T, class V>
constexpr double tolerance() {
  constexpr bool wide_arithmetic = sizeof(gatescan::state_t<T>) == 8;
  switch (sizeof(typename V::element)) {
    case 8:
      return 1e-12;
    case 4:
      return wide_arithmetic ? 2e-7 : 2e-5;
    default:
      return 6e-3;
  }
}

/// Compares one problem's results with oracle O. `error` says what is wrong; empty: nothing.
template <class O, class T>
class check {
  using R = support::recurrence_of<O>;

 public:
  explicit check(operands<R, T>& p) : p_(p), w_(window_of(p.s.n)) {}

  /// The state is 0 when the window begins. Call before the library is called.
  void forget_before_window() {
    if (w_.first_token == 0) return;
    for (const forgetting& f : p_.s.forget) {
      const auto found = p_.numbers.find(std::string(f.operand));
      if (f.all_before && found != p_.numbers.end()) remembered_.push_back(*found);
      set_before(f.operand, f.value, f.all_before);
    }
  }
  /// What was forgotten of all tokens is what it was: they are what is timed.
  void remember() {
    for (const auto& [name, x] : remembered_) {
      auto& operand = p_.numbers.find(name)->second;  // the views stay where they are
      std::copy(x.re.begin(), x.re.end(), operand.re.begin());
      std::copy(x.im.begin(), x.im.end(), operand.im.begin());
    }
  }

  /// `initial` as the oracle's initial state: step's state before the call.
  template <class State>
  std::string forward(const State& initial) {
    auto in = inputs();
    read_state(initial, in.initial_state);
    auto want = O::forward(in), got = want;
    clear(got.out), clear(got.final_state);
    read(p_.outputs.out, R::out_axes, w_, got.out);
    read_state(p_.outputs.final_state, got.final_state);
    compare<decltype(p_.outputs.out)>("out", got.out, want.out);
    using number = gatescan::view<gatescan::state_t<T>>;
    compare<number>("final_state", got.final_state, want.final_state);
    return error_;
  }

  /// The gradient of the window alone; to be called before the library is called.
  void mask_output_gradient() {
    const array<typename operands<R, T>::storage> all = p_.out;
    std::fill(p_.out.re.begin(), p_.out.re.end(), gatescan::storage_t<T>(0));
    std::fill(p_.out.im.begin(), p_.out.im.end(), gatescan::storage_t<T>(0));
    for_each_place(p_.out.where, R::out_axes, w_, [&](index_t place) {
      const auto i = static_cast<std::size_t>(place);
      p_.out.re[i] = all.re[i];
      if (!all.im.empty()) p_.out.im[i] = all.im[i];
    });
  }
  std::string backward() {
    typename O::outputs d_out;
    read(p_.output_gradients.out, R::out_axes, w_, d_out.out);
    auto want = O::backward(inputs(), d_out), got = want;
    for_each_operand(p_.gradients, got, [&](const auto& view, const axes& a, auto& to) {
      clear(to);
      read(view, a, w_, to);
    });
    for_each_operand(p_.gradients, got, want,
                     [&]<class V>(const char* name, const V&, const auto& g, const auto& want_one) {
                       compare<V>(name, g, want_one);
                     });
    return error_;
  }

 private:
  // As a tensor of the oracle: parts beside each other (tests/support/normalised.hpp).
  template <class State, class E>
  void read_state(const State& from, tensor<E>& to) {
    std::map<gatescan::state_part, tensor<E>> parts;
    using enum gatescan::state_part;
    gatescan::detail::for_each_part<R>(
        [&](gatescan::state_part which, const char*, const axes& a, const auto& x) {
          support::extents& shape = (read(x, a, w_, parts[which]), parts[which].shape);
          if (!gatescan::detail::has_parts<State> || !x.given() || which == log_scale) return;
          if (!a.has(axis::key)) shape.insert(shape.begin() + 2, 1);
          if (which == product && !a.has(axis::value)) shape.push_back(1);
        },
        from);
    to = parts[product];
    if constexpr (gatescan::detail::has_parts<State>) {
      if (!parts[normaliser].given()) return;
      ++to.shape[3];
      tensor<E> columns(to.shape);
      support::oracle::each_place(to.shape, [&](index_t n, index_t h, index_t i, index_t j) {
        columns(n, h, i, j) =
            j + 1 < to.shape[3] ? parts[product](n, h, i, j) : parts[normaliser](n, h, i);
      });
      to = support::oracle::parts_of_state(columns, parts[log_scale]);
    }
  }
  template <class X>
  static void clear(X& x) {
    x.shape.clear(), x.data.clear();
  }

  typename O::inputs inputs() {
    typename O::inputs in;
    for_each_operand(p_.in, in,
                     [&](const auto& view, const axes& a, auto& to) { read(view, a, w_, to); });
    R::options([](const char*, auto& to, const auto& from) { to = from; }, in, p_.in);
    return in;
  }

  // f(view, its axes, the oracle's tensor of the same name)
  template <class Views, class Tensors, class F>
  static void for_each_operand(const Views& views, Tensors& tensors, F&& f) {
    O::operands(
        [&](std::string_view name, auto& to) {
          R::operands(
              [&](std::string_view other, const axes& a, gatescan::presence, const auto& view) {
                if (other == name && view.given()) f(view, a, to);
              },
              views);
        },
        tensors);
  }
  // f(name, view, first tensor, second tensor)
  template <class Views, class Tensors, class F>
  static void for_each_operand(const Views& views, Tensors& first, Tensors& second, F&& f) {
    O::operands(
        [&](const char* name, auto& x, auto& y) {
          R::operands(
              [&](std::string_view other, const axes&, gatescan::presence, const auto& view) {
                if (other == name && view.given()) f(name, view, x, y);
              },
              views);
        },
        first, second);
  }

  void set_before(std::string_view name, double value, bool all) {
    using storage = gatescan::storage_t<T>;
    R::operands(
        [&](std::string_view other, const axes& a, gatescan::presence, const auto&) {
          const auto found = p_.numbers.find(std::string(name));
          if (other != name || found == p_.numbers.end()) return;
          window tokens{all ? 0 : w_.first_token - 1, p_.s.n};
          tokens.n.time = all ? w_.first_token : 1;
          for_each_place(found->second.where, a, tokens, [&](index_t place) {
            const auto i = static_cast<std::size_t>(place);
            found->second.re[i] = gatescan::convert<storage>(value);
            if (!found->second.im.empty()) found->second.im[i] = gatescan::convert<storage>(0.0);
          });
        },
        p_.in);
  }

  template <class V, class E>
  void compare(const char* name, const tensor<E>& got, const tensor<E>& want) {
    const double e = relative_error(got, want);
    if (e <= tolerance<T, V>()) return;
    char text[32];
    std::snprintf(text, sizeof text, "%.2g", e);
    error_ += std::string(error_.empty() ? "" : ", ") + name + " is off by " + text;
  }

  operands<R, T>& p_;
  window w_;
  std::vector<std::pair<std::string, array<typename operands<R, T>::storage>>> remembered_;
  std::string error_;
};

}  // namespace bench
