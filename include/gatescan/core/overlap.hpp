#pragma once
// Do two strided views share memory? Exact for views that interleave rows of one buffer, cautious
// otherwise.

#include <cstdint>
#include <functional>
#include <numeric>
#include <string>

#include "error.hpp"
#include "operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

struct footprint {
  const char* name = "";
  layout where{};
  std::uintptr_t begin = 0, end = 0;  // bytes; empty when equal
  std::uintptr_t origin = 0, imaginary = 0;
  index_t row_bytes = 0, step_bytes = 0;  // rows of row_bytes at multiples of step_bytes

  bool same_as(const footprint& o) const {
    if (origin != o.origin || imaginary != o.imaginary || where.rank != o.where.rank) return false;
    for (int i = 0; i < where.rank; ++i)
      if (where.shape[i] != o.where.shape[i] ||
          (where.shape[i] > 1 && where.stride[i] != o.where.stride[i]))
        return false;
    return true;
  }
};

inline footprint footprint_of(const char* name, const layout& x, const void* re, const void* im,
                              index_t size) {
  footprint f;
  f.name = name, f.where = x;
  if (x.size() == 0 || re == nullptr) return f;
  f.origin = reinterpret_cast<std::uintptr_t>(re),
  f.imaginary = reinterpret_cast<std::uintptr_t>(im);
  index_t low = 0, high = 0;
  layout by_stride = x;  // axes of more than one element, the closest first
  by_stride.rank = 0;
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
  // rows of negative strides start elsewhere: cautious
  const bool forwards = low == 0;
  f.row_bytes = row * size, f.step_bytes = forwards ? step * size : 0;
  if (im != nullptr) {
    const std::uintptr_t first = f.imaginary + static_cast<std::uintptr_t>(low * size);
    const std::uintptr_t last = f.imaginary + static_cast<std::uintptr_t>((high + 1) * size);
    f.begin = first < f.begin ? first : f.begin;
    f.end = last > f.end ? last : f.end;
    f.step_bytes = 0;  // two planes: cautious
  }
  return f;
}
template <class T>
footprint footprint_of(const char* name, const view<T>& x) {
  return footprint_of(name, x, x.data, nullptr, sizeof(T));
}
template <class T>
footprint footprint_of(const char* name, const complex_view<T>& x) {
  return footprint_of(name, x, x.re, x.im, sizeof(T));
}

inline bool overlap(const footprint& a, const footprint& b) {
  if (a.begin == a.end || b.begin == b.end || a.end <= b.begin || b.end <= a.begin) return false;
  const index_t step = std::gcd(a.step_bytes, b.step_bytes);
  if (step == 0) return true;
  const index_t between = static_cast<index_t>(b.origin - a.origin) % step;
  const index_t gap = between < 0 ? between + step : between;
  return gap < a.row_bytes || gap + b.row_bytes > step;
}

/// Throws if `result` shares memory with `other`. The very same view is fine when same_is_fine.
inline void check_apart(const footprint& result, const footprint& other, bool same_is_fine) {
  if (!overlap(result, other) || (same_is_fine && result.same_as(other))) return;
  throw shape_error(std::string(result.name) + ": expected memory apart from " + other.name +
                    ", got views that overlap");
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
