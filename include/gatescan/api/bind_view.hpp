#pragma once
// From one view of the caller's to an operand, after its rank and every extent were checked.

#include <string>

#include "../core/error.hpp"
#include "../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline std::string shape_text(const layout& x) {
  std::string text = "[";
  for (int i = 0; i < x.rank; ++i) text += (i ? ", " : "") + std::to_string(x.shape[i]);
  return text + "]";
}

constexpr const char* axis_name(axis a) {
  switch (a) {
    case axis::batch:
      return "batch";
    case axis::sequence:
      return "sequences";
    case axis::time:
      return "time";
    case axis::head:
      return "heads";
    case axis::group:
      return "groups";
    case axis::key:
      return "keys";
    case axis::key_or_one:
      return "keys or 1";
    case axis::value:
      return "values";
    case axis::value_or_one:
      return "values or 1";
    case axis::channel:
      return "channels";
    default:
      return "";
  }
}

inline std::string axes_text(const axes& a) {
  std::string text = "[";
  for (int i = 0; i < a.rank; ++i) text += (i ? ", " : "") + std::string(axis_name(a.of[i]));
  return text + "]";
}

// The name of an operand or of its gradient, put together only when an error needs it.
struct operand_name {
  const char* name;
  bool gradient;

  constexpr operand_name(const char* operand, bool of_gradient = false)
      : name(operand), gradient(of_gradient) {}
  operator std::string() const { return (gradient ? "gradient of " : "") + std::string(name); }
};

[[noreturn]] inline void fail_shape(const std::string& name, const std::string& expected,
                                    const layout& came, const char* remark = "") {
  fail<shape_error>(name + ": expected " + expected + ", got " + shape_text(came) + remark);
}
// Elements lie somewhere.
inline void check_pointer(const operand_name& name, const layout& x, const void* data) {
  if (data == nullptr && x.size() > 0)
    fail_shape(name, "memory for its elements", x, " at a null pointer");
}

// The extent an axis must have; heads and groups are checked by divisibility instead.
inline index_t extent(const sizes& n, axis a) {
  switch (a) {
    case axis::batch:
      return n.batch;
    case axis::sequence:
      return n.sequences;
    case axis::time:
      return n.time;
    case axis::head:
    case axis::group:
      return n.heads;
    case axis::key:
    case axis::key_or_one:
      return n.keys;
    case axis::value:
    case axis::value_or_one:
      return n.values;
    case axis::channel:
      return n.heads * n.values;
    default:
      return 0;
  }
}

inline axes axes_as_given(const layout& x, const axes& a) {
  return x.rank == a.rank - 1 && a.has(axis::group) ? a.without(axis::group) : a;
}

// Throws unless x has the axes `a` of a problem of size n. With exact_heads a head axis must have
// all heads.
inline void check_layout(const operand_name& name, const layout& x, const axes& declared,
                         const sizes& n, bool exact_heads) {
  const axes a = axes_as_given(x, declared);
  const auto expected = [&] {
    std::string text = axes_text(a) + " = [";
    for (int i = 0; i < a.rank; ++i) text += (i ? ", " : "") + std::to_string(extent(n, a.of[i]));
    return text + "]";
  };
  if (!x.well_formed)
    fail_shape(name, expected() + " with a stride an axis", x, " from lists of another length");
  if (x.rank != a.rank) fail_shape(name, expected(), x);
  for (int i = 0; i < a.rank; ++i) {
    const index_t want = extent(n, a.of[i]), got = x.shape[i];
    if (got == want) continue;
    const bool divides = got > 0 && want % got == 0;
    const bool grouped =
        (a.of[i] == axis::head || a.of[i] == axis::group) && !exact_heads && divides;
    const bool one = (a.of[i] == axis::key_or_one || a.of[i] == axis::value_or_one) && got == 1;
    if (!grouped && !one)
      fail_shape(
          name, expected() + (a.has(axis::head) && !exact_heads ? " (heads may be a divisor)" : ""),
          x);
  }
}

// Strides by meaning. The layout has been checked.
template <class T>
operand<T> canonical(const layout& x, T* re, T* im, const axes& declared, const sizes& n) {
  operand<T> o;
  o.re = re, o.im = im, o.given = true, o.complex = im != nullptr;
  const axes a = axes_as_given(x, declared);
  for (int i = 0; i < a.rank; ++i) {
    const index_t step = x.shape[i] == 1 ? 0 : x.stride[i];
    switch (a.of[i]) {
      case axis::batch:
      case axis::sequence:
        o.batch = step;
        break;
      case axis::time:
        o.time = step;
        break;
      case axis::head:
      case axis::group:
        o.head = step;
        o.heads_a_group = x.shape[i] > 0 && n.heads > 0 ? n.heads / x.shape[i] : 1;
        break;
      case axis::key_or_one:
        o.one_key = x.shape[i] == 1;
        o.key = step;
        break;
      case axis::key:
        o.key = step;
        break;
      case axis::value:
      case axis::value_or_one:
        o.value = step;
        break;
      case axis::channel:
        o.value = x.stride[i];
        o.head = x.stride[i] * n.values;
        break;
      default:
        break;
    }
  }
  return o;
}

template <class T>
operand<T> bind(const operand_name& name, const view<T>& x, const axes& a, const sizes& n,
                bool exact_heads) {
  if (!x.given()) return {};
  check_layout(name, x, a, n, exact_heads);
  check_pointer(name, x, x.data);
  return canonical<T>(x, x.data, nullptr, a, n);
}
template <class T>
operand<T> bind(const operand_name& name, const complex_view<T>& x, const axes& a, const sizes& n,
                bool exact_heads) {
  if (!x.given()) return {};
  if (!x.planes_agree())
    fail<shape_error>(std::string(name) +
                      ": expected real and imaginary planes of equal shape and strides");
  check_layout(name, x, a, n, exact_heads);
  check_pointer(name, x, x.re);
  return canonical<T>(x, x.re, x.im, a, n);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
