#pragma once
// From one view of the caller's to an operand, after its rank and every extent were checked.

#include <string>
#include <string_view>

#include "../core/error.hpp"
#include "../core/operand.hpp"
#include "../core/overlap.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// [first, second, ...]
class list_text {
 public:
  [[gnu::cold]] void add(const std::string& item) {
    if (text_.size() > 1) text_ += ", ";
    text_ += item;
  }
  [[gnu::cold]] std::string end() const { return text_ + "]"; }

 private:
  std::string text_ = "[";
};

[[gnu::cold]] inline std::string shape_text(const layout& x) {
  list_text text;
  for (int i = 0; i < x.rank; ++i) text.add(std::to_string(x.shape[i]));
  return text.end();
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

/// The axes of a view in its order: those declared, without time for one token, and without groups
/// where there is one.
struct view_axes {
  const axes& declared;
  int rank;
  unsigned left_out = 0;  // a bit an axis

  GATESCAN_INLINE view_axes(const axes& a, bool one_token = false) : declared(a), rank(a.rank) {
    if (one_token) leave_out(axis::time);
  }
  /// Of the view that came.
  GATESCAN_INLINE view_axes(const layout& x, const view_axes& wanted) : view_axes(wanted) {
    if (declared.has(axis::group) && x.rank == rank - 1) leave_out(axis::group);
  }
  bool has(axis a) const { return declared.has(a) && (left_out & bit(a)) == 0; }
  /// f(axis, its place in the view)
  template <class F>
  GATESCAN_INLINE void for_each(F&& f) const {
    int i = 0;
    for (int j = 0; j < declared.rank; ++j)
      if ((left_out & bit(declared.of[j])) == 0) f(declared.of[j], i++);
  }

 private:
  static constexpr unsigned bit(axis a) { return 1u << static_cast<int>(a); }
  GATESCAN_INLINE void leave_out(axis a) {
    if (declared.has(a)) left_out |= bit(a), --rank;
  }
};

[[gnu::cold]] inline std::string axes_text(const view_axes& a) {
  list_text text;
  a.for_each([&](axis x, int) { text.add(axis_name(x)); });
  return text.end();
}

[[noreturn, gnu::cold, gnu::noinline]] inline void fail_shape(const std::string& name,
                                                              const std::string& expected,
                                                              const layout& came,
                                                              const char* remark = "") {
  fail<shape_error>(name + ": expected " + expected + ", got " + shape_text(came) + remark);
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_missing(const operand_name& name,
                                                                const view_axes& wanted) {
  fail<shape_error>(std::string(name) + ": expected " + axes_text(wanted) + ", got nothing");
}
// Elements lie somewhere.
inline void check_pointer(const operand_name& name, const layout& x, const void* data) {
  if (data == nullptr && x.size() > 0)
    fail_shape(name, "memory for its elements", x, " at a null pointer");
}

// The extent an axis must have; heads and groups are checked by divisibility instead.
GATESCAN_INLINE index_t extent(const sizes& n, axis a) {
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

// Whether an axis may have the extent `got` where `want` is all of it. With exact_heads a head axis
// must have all heads.
GATESCAN_INLINE bool extent_fits(axis a, index_t got, index_t want, bool exact_heads) {
  if (got == want) return true;
  if (a == axis::head || a == axis::group) return !exact_heads && got > 0 && want % got == 0;
  return (a == axis::key_or_one || a == axis::value_or_one) && got == 1;
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_layout(const operand_name& name,
                                                               const layout& x, const view_axes& a,
                                                               const sizes& n, bool exact_heads,
                                                               const char* origin) {
  if (x.well_formed && x.rank != a.rank)
    fail_shape(name, std::to_string(a.rank) + " axes, " + axes_text(a), x);
  list_text extents;
  a.for_each([&](axis of, int) { extents.add(std::to_string(extent(n, of))); });
  std::string expected = axes_text(a) + " = " + extents.end();
  if (!x.well_formed)
    fail_shape(name, expected + " with a stride an axis", x, " from lists of another length");
  if (a.has(axis::head) && !exact_heads) expected += " (heads may be a divisor)";
  if (origin != nullptr) expected += std::string(" as in ") + origin;
  fail_shape(name, expected, x);
}
// The input that an axis has its extent from: nothing is known of it.
struct origin_unknown {
  const char* operator()(axis) const { return nullptr; }
};
// Whether a view has, along an axis of that meaning, this extent.
[[gnu::cold, gnu::noinline]] inline bool has_extent(const layout& x, const view_axes& a, axis of,
                                                    index_t wanted) {
  bool has = false;
  if (x.rank != a.rank) return has;
  a.for_each([&](axis its, int i) {
    const std::string_view one = axis_name(its), two = axis_name(of);  // "keys", "keys or 1"
    has = has || ((one.starts_with(two) || two.starts_with(one)) && x.shape[i] == wanted);
  });
  return has;
}
/// The same of an operand `name`: another one of the inputs, or null.
template <class R, bool OneToken, class In>
[[gnu::cold, gnu::noinline]] const char* origin_of(const In& in, std::string_view name, axis of,
                                                   index_t wanted) {
  const char* from = nullptr;
  R::operands(
      [&](const char* other, const axes& declared, presence, const auto& x) {
        if (from == nullptr && name != other &&
            has_extent(x, view_axes(x, {declared, OneToken}), of, wanted))
          from = other;
      },
      in);
  return from;
}
// The first axis of x that has another extent than it must.
[[gnu::cold]] inline axis unfit_axis(const layout& x, const view_axes& a, const sizes& n,
                                     bool exact_heads) {
  axis unfit = axis::batch;
  bool found = x.rank != a.rank;
  a.for_each([&](axis of, int i) {
    if (!found && !extent_fits(of, x.shape[i], extent(n, of), exact_heads))
      unfit = of, found = true;
  });
  return unfit;
}
// Throws unless x has these axes of a problem of size n.
template <class Origin>
GATESCAN_INLINE void check_layout(const operand_name& name, const layout& x, const view_axes& a,
                                  const sizes& n, bool exact_heads, const Origin& origin) {
  bool fits = x.well_formed && x.rank == a.rank;
  a.for_each([&](axis of, int i) __attribute__((always_inline)) {
    fits = fits && extent_fits(of, x.shape[i], extent(n, of), exact_heads);
  });
  if (!fits) fail_layout(name, x, a, n, exact_heads, origin(unfit_axis(x, a, n, exact_heads)));
}

// Strides by meaning. The layout has been checked.
template <class T>
GATESCAN_INLINE operand<T> canonical(const layout& x, T* re, T* im, const view_axes& a,
                                     const sizes& n) {
  operand<T> o;
  o.re = re, o.im = im, o.given = true, o.complex = im != nullptr;
  a.for_each([&](axis of, int i) __attribute__((always_inline)) {
    const index_t extent = x.shape[i], step = extent == 1 ? 0 : x.stride[i];
    switch (of) {
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
        if (extent > 0 && extent != n.heads && n.heads > 0) o.heads_a_group = n.heads / extent;
        break;
      case axis::key_or_one:
        o.one_key = extent == 1;
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
  });
  return o;
}

template <class T, class Origin = origin_unknown>
GATESCAN_INLINE operand<T> bind(const operand_name& name, const view<T>& x, const view_axes& wanted,
                                const sizes& n, bool exact_heads, const Origin& origin = {}) {
  if (!x.given()) return {};
  const view_axes a(x, wanted);
  check_layout(name, x, a, n, exact_heads, origin);
  check_pointer(name, x, x.data);
  return canonical<T>(x, x.data, nullptr, a, n);
}
template <class T, class Origin = origin_unknown>
GATESCAN_INLINE operand<T> bind(const operand_name& name, const complex_view<T>& x,
                                const view_axes& wanted, const sizes& n, bool exact_heads,
                                const Origin& origin = {}) {
  if (!x.given()) return {};
  if (!x.planes_agree())
    fail<shape_error>(std::string(name) +
                      ": expected real and imaginary planes of equal shape and strides");
  const view_axes a(x, wanted);
  check_layout(name, x, a, n, exact_heads, origin);
  check_pointer(name, x, x.re);
  return canonical<T>(x, x.re, x.im, a, n);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
