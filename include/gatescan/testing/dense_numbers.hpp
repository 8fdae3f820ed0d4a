#pragma once
// Copies of operands and results for checks of recurrences.

#include <cstddef>
#include <vector>

#include "../core/operand.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Dense numbers with the extents of a layout, as planes.
template <class T>
struct dense_numbers {
  layout where{};
  std::vector<T> re, im;

  dense_numbers() = default;
  dense_numbers(const layout& extents, bool complex) : where(extents) {
    index_t step = 1;
    for (int i = where.rank - 1; i >= 0; --i) where.stride[i] = step, step *= where.shape[i];
    re.resize(static_cast<std::size_t>(where.size()));
    if (complex) im.resize(re.size());
  }
  dense_numbers(const axes& a, const sizes& n, bool complex)
      : dense_numbers(
            [&] {
              layout x;
              x.rank = a.rank;
              for (int i = 0; i < a.rank; ++i) x.shape[i] = extent(n, a.of[i]);
              return x;
            }(),
            complex) {}

  void copy(const layout& from, const double* data, std::vector<T>& to) const {
    for (index_t n = 0; n < where.size(); ++n) {
      index_t at = 0, rest = n;
      for (int i = where.rank - 1; i >= 0; --i) {
        at += rest % where.shape[i] * from.stride[i];
        rest /= where.shape[i];
      }
      to[static_cast<std::size_t>(n)] = static_cast<T>(data[at]);
    }
  }
  /// Numbers between -1 and 1, the same in every run.
  void fill(unsigned seed) {
    for (auto* plane : {&re, &im})
      for (T& x : *plane) {
        seed = seed * 1664525u + 1013904223u;
        x = static_cast<T>(static_cast<double>(seed >> 8) / 0x1p23 - 1);
      }
  }
  template <class View>
  void show(View& x) {
    if constexpr (requires { x.im; })
      x = View(re.data(), im.empty() ? nullptr : im.data(), where);
    else
      x = View(re.data(), where);
  }
};

/// The numbers of a view of double.
template <class T, class View>
dense_numbers<T> copy_of(const View& x) {
  if constexpr (requires { x.im; }) {
    dense_numbers<T> r(x, x.im != nullptr);
    r.copy(x, x.re, r.re);
    if (x.im != nullptr) r.copy(x, x.im, r.im);
    return r;
  } else {
    dense_numbers<T> r(x, false);
    r.copy(x, x.data, r.re);
    return r;
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
