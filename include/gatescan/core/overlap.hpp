#pragma once
// Do two strided views share memory? Exact for rows that interleave in one buffer, else cautious.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <string_view>

#include "error.hpp"
#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The name of an operand, of a part of a state, or of its gradient, put together only when an
/// error needs it.
struct operand_name {
  const char* name;
  bool gradient;
  const char* part;  // of a state that has several; or null

  constexpr operand_name(const char* operand, bool of_gradient = false, const char* of = nullptr)
      : name(operand), gradient(of_gradient), part(of) {}
  [[gnu::cold]] operator std::string() const {
    std::string text = gradient ? "gradient of " : "";
    text += name;
    if (part != nullptr) text.append(".").append(part);
    return text;
  }
  /// The same operand, or the same part of a state.
  bool operator==(const operand_name& o) const {
    const auto same = [](const char* x, const char* y) {
      return x == y || (x != nullptr && y != nullptr && std::string_view(x) == y);
    };
    return gradient == o.gradient && same(name, o.name) && same(part, o.part);
  }
};

// A view as bytes. The view outlives it.
struct footprint {
  operand_name name = "";
  const layout* where = nullptr;
  index_t size = 0, bytes = 0;  // of an element; from a plane's first byte to its last
  int planes = 0;
  std::uintptr_t plane[2] = {};       // their first bytes
  std::uintptr_t begin = 0, end = 0;  // of all

  bool same_as(const footprint& o) const {
    if (planes != o.planes || size != o.size || where->rank != o.where->rank) return false;
    for (int i = 0; i < planes; ++i)
      if (plane[i] != o.plane[i]) return false;
    for (int i = 0; i < where->rank; ++i)
      if (where->shape[i] != o.where->shape[i] ||
          (where->shape[i] > 1 && where->stride[i] != o.where->stride[i]))
        return false;
    return true;
  }
};

[[gnu::noinline]] inline footprint footprint_of(const operand_name& name, const layout& x,
                                                index_t size, const void* re, const void* im) {
  footprint f;
  f.name = name, f.where = &x, f.size = size;
  index_t low = 0, high = 1;
  for (int i = 0; i < x.rank; ++i) {
    if (x.shape[i] == 0) return f;
    const index_t reach = (x.shape[i] - 1) * x.stride[i];
    (reach < 0 ? low : high) += reach;
  }
  f.bytes = (high - low) * size;
  for (const void* data : {re, im})
    if (data != nullptr && x.rank > 0) {
      const std::uintptr_t first =
          reinterpret_cast<std::uintptr_t>(data) + static_cast<std::uintptr_t>(low * size);
      const std::uintptr_t last = first + static_cast<std::uintptr_t>(f.bytes);
      f.begin = f.planes == 0 ? first : (std::min)(f.begin, first);
      f.end = (std::max)(f.end, last);
      f.plane[f.planes++] = first;
    }
  return f;
}
template <class T>
footprint footprint_of(const operand_name& name, const view<T>& x) {
  return footprint_of(name, x, sizeof(T), x.data, nullptr);
}
template <class T>
footprint footprint_of(const operand_name& name, const complex_view<T>& x) {
  return footprint_of(name, x, sizeof(T), x.re, x.im);
}

/// Axes of more than one element, the closest first; strides without their signs.
inline layout by_distance(const layout& x) {
  layout sorted;
  for (int i = x.rank - 1; i >= 0; --i) {
    if (x.shape[i] < 2) continue;
    const index_t stride = x.stride[i] < 0 ? -x.stride[i] : x.stride[i];
    int at = sorted.rank++;
    for (; at > 0 && sorted.stride[at - 1] > stride; --at) {
      sorted.shape[at] = sorted.shape[at - 1];
      sorted.stride[at] = sorted.stride[at - 1];
    }
    sorted.shape[at] = x.shape[i], sorted.stride[at] = stride;
  }
  return sorted;
}

// Rows of `row` bytes whose starts are `step` bytes apart, or a multiple of it. step 0: nothing is
// known but the ends.
struct rows_of_bytes {
  index_t row = 1, step = 0;

  explicit rows_of_bytes(const footprint& f) {
    const layout x = by_distance(*f.where);
    for (int i = 0; i < x.rank; ++i) {  // an axis that continues the row makes it longer
      if (step == 0 && x.stride[i] == row)
        row *= x.shape[i];
      else
        step = std::gcd(step, x.stride[i]);
    }
    row *= f.size, step *= f.size;
  }
};
[[gnu::noinline]] inline bool planes_overlap(const footprint& a, int i, const footprint& b, int j) {
  const auto between = static_cast<index_t>(b.plane[j] - a.plane[i]);
  if (between >= a.bytes || -between >= b.bytes) return false;
  const rows_of_bytes x(a), y(b);
  const index_t step = std::gcd(x.step, y.step);
  if (step == 0) return true;
  const index_t rest = between % step, gap = rest < 0 ? rest + step : rest;
  return gap < x.row || gap + y.row > step;
}
[[gnu::noinline]] inline bool any_planes_overlap(const footprint& a, const footprint& b) {
  for (int i = 0; i < a.planes; ++i)
    for (int j = 0; j < b.planes; ++j)
      if (planes_overlap(a, i, b, j)) return true;
  return false;
}
GATESCAN_INLINE bool overlap(const footprint& a, const footprint& b) {
  return a.begin < b.end && b.begin < a.end && any_planes_overlap(a, b);
}

/// Throws if the planes of `result` share memory.
inline void check_planes(const footprint& result) {
  if (result.planes == 2 && planes_overlap(result, 0, result, 1))
    fail<shape_error>(std::string(result.name) +
                      ": expected real and imaginary planes apart, got planes that overlap");
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_overlap(const footprint& result,
                                                                const footprint& other) {
  fail<shape_error>(std::string(result.name) + ": expected memory apart from " +
                    std::string(other.name) + ", got views that overlap");
}
/// Throws if `result` shares memory with `other`. The very same view is fine when same_is_fine.
GATESCAN_INLINE void check_apart(const footprint& result, const footprint& other,
                                 bool same_is_fine) {
  if (result.begin >= other.end || other.begin >= result.end) return;
  if ((same_is_fine && result.same_as(other)) || !any_planes_overlap(result, other)) return;
  fail_overlap(result, other);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
