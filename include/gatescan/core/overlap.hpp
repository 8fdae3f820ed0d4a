#pragma once
// Do two strided views share memory? Exact for rows that interleave in one buffer, else cautious.

#include <cstdint>
#include <numeric>
#include <string>

#include "error.hpp"
#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// One plane of a view as bytes: rows of `row` bytes whose starts are `step` bytes apart, or a
// multiple of it. step 0: nothing is known but the ends.
struct plane_footprint {
  std::uintptr_t begin = 0, end = 0, origin = 0;
  index_t row = 0, step = 0;
};

struct footprint {
  const char* name = "";
  layout where{};
  int planes = 0;
  plane_footprint plane[2]{};

  bool same_as(const footprint& o) const {
    if (planes != o.planes || where.rank != o.where.rank) return false;
    for (int i = 0; i < planes; ++i)
      if (plane[i].origin != o.plane[i].origin) return false;
    for (int i = 0; i < where.rank; ++i)
      if (where.shape[i] != o.where.shape[i] ||
          (where.shape[i] > 1 && where.stride[i] != o.where.stride[i]))
        return false;
    return true;
  }
};

inline plane_footprint plane_footprint_of(const layout& x, const void* data, index_t size) {
  plane_footprint f;
  f.origin = reinterpret_cast<std::uintptr_t>(data);
  index_t low = 0, high = 0;
  layout by_stride;  // axes of more than one element, the closest first
  for (int i = 0; i < x.rank; ++i) {
    const index_t reach = (x.shape[i] - 1) * x.stride[i];
    (reach < 0 ? low : high) += reach;
    if (x.shape[i] < 2) continue;
    const index_t stride = x.stride[i] < 0 ? -x.stride[i] : x.stride[i];
    int at = by_stride.rank++;
    for (; at > 0 && by_stride.stride[at - 1] > stride; --at) {
      by_stride.shape[at] = by_stride.shape[at - 1];
      by_stride.stride[at] = by_stride.stride[at - 1];
    }
    by_stride.shape[at] = x.shape[i], by_stride.stride[at] = stride;
  }
  index_t row = 1, step = 0;  // an axis that continues the row makes it longer
  for (int i = 0; i < by_stride.rank; ++i) {
    if (step == 0 && by_stride.stride[i] == row)
      row *= by_stride.shape[i];
    else
      step = std::gcd(step, by_stride.stride[i]);
  }
  f.begin = f.origin + static_cast<std::uintptr_t>(low * size);
  f.end = f.origin + static_cast<std::uintptr_t>((high + 1) * size);
  f.origin = low == 0 ? f.origin : f.begin;  // rows walked backwards: their first bytes
  f.row = row * size, f.step = step * size;
  return f;
}

template <class T>
footprint footprint_of(const char* name, const layout& x, const T* re, const T* im) {
  footprint f;
  f.name = name, f.where = x;
  if (x.size() == 0) return f;
  for (const T* data : {re, im})
    if (data != nullptr) f.plane[f.planes++] = plane_footprint_of(x, data, sizeof(T));
  return f;
}
template <class T>
footprint footprint_of(const char* name, const view<T>& x) {
  return footprint_of<std::remove_const_t<T>>(name, x, x.data, nullptr);
}
template <class T>
footprint footprint_of(const char* name, const complex_view<T>& x) {
  return footprint_of<std::remove_const_t<T>>(name, x, x.re, x.im);
}

inline bool overlap(const plane_footprint& a, const plane_footprint& b) {
  if (a.end <= b.begin || b.end <= a.begin) return false;
  const index_t step = std::gcd(a.step, b.step);
  if (step == 0) return true;
  const index_t between = static_cast<index_t>(b.origin - a.origin) % step;
  const index_t gap = between < 0 ? between + step : between;
  return gap < a.row || gap + b.row > step;
}
inline bool overlap(const footprint& a, const footprint& b) {
  for (int i = 0; i < a.planes; ++i)
    for (int j = 0; j < b.planes; ++j)
      if (overlap(a.plane[i], b.plane[j])) return true;
  return false;
}

/// Throws if the planes of `result` share memory.
inline void check_planes(const footprint& result) {
  if (result.planes == 2 && overlap(result.plane[0], result.plane[1]))
    fail<shape_error>(std::string(result.name) +
                      ": expected real and imaginary planes apart, got planes that overlap");
}
/// Throws if `result` shares memory with `other`. The very same view is fine when same_is_fine.
inline void check_apart(const footprint& result, const footprint& other, bool same_is_fine) {
  if (!overlap(result, other) || (same_is_fine && result.same_as(other))) return;
  fail<shape_error>(std::string(result.name) + ": expected memory apart from " + other.name +
                    ", got views that overlap");
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
