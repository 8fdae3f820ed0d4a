// An outer product whose output is divided by what its query reads of n, a column of the state of
// values that are all 1: o_t / D(n_t).
//
// In the tests a state of several parts is one tensor with a column more for each, beside the
// values: n, and m, the logarithm that S and n are scaled by, in the first row. Axes of extent 1,
// one more than there are such columns, tell it from any other tensor: [n, H, K, V + 1, 1, 1], or
// [n, H, K, V + 2, 1, 1, 1].
#pragma once

#include "log_space.hpp"
#include "outer_product.hpp"
#include "prologue.hpp"

namespace support::oracle {

// S beside n, of a state's tensor
template <class R>
tensor<R> columns_of_state(const tensor<R>& parts) {
  if (!parts.given()) return {};
  const int64 V = parts.extent(3) - static_cast<int64>(parts.shape.size()) + 5;
  const extents shape{parts.extent(0), parts.extent(1), parts.extent(2), V + 1};
  tensor<R> r(shape);
  each_place(shape, [&](int64 n, int64 h, int64 i, int64 j) { r(n, h, i, j) = parts(n, h, i, j); });
  return r;
}
// log_scale: m [n, H], or not given
template <class R>
tensor<R> parts_of_state(const tensor<R>& columns, const tensor<double>& log_scale) {
  const int64 V = columns.extent(3) - 1;
  extents shape = columns.shape;
  shape.insert(shape.end(), 2, 1);
  if (log_scale.given()) ++shape[3], shape.push_back(1);
  tensor<R> r(shape);
  each_place(columns.shape,
             [&](int64 n, int64 h, int64 i, int64 j) { r(n, h, i, j) = columns(n, h, i, j); });
  if (log_scale.given())
    for (int64 n = 0; n < columns.extent(0); ++n)
      for (int64 h = 0; h < columns.extent(1); ++h) r(n, h, 0, V + 1) = R(log_scale(n, h));
  return r;
}
// m [n, H] of a state's tensor; -inf where that is not given
template <class R>
tensor<double> log_scale_of_state(const tensor<R>& parts, int64 sequences, int64 heads) {
  tensor<double> m({sequences, heads}, -std::numeric_limits<double>::infinity());
  if (parts.given())
    for (int64 n = 0; n < sequences; ++n)
      for (int64 h = 0; h < heads; ++h) m(n, h) = value_of(parts(n, h, 0, parts.extent(3) - 1));
  return m;
}

// A state's tensor with S and n at the m of another one: what they mean, S e^m, is compared, as m
// itself may drift by its rounding.
template <class T>
tensor<T> at_log_scale_of(tensor<T> parts, const tensor<T>& other) {
  if constexpr (std::is_same_v<T, double>)
    if (parts.shape.size() == 7 && parts.shape == other.shape) {
      const auto m = log_scale_of_state(parts, parts.extent(0), parts.extent(1));
      const auto wanted = log_scale_of_state(other, parts.extent(0), parts.extent(1));
      each_place({parts.extent(0), parts.extent(1), parts.extent(2), parts.extent(3) - 1},
                 [&](int64 n, int64 h, int64 i, int64 j) {
                   if (std::isfinite(m(n, h)) && std::isfinite(wanted(n, h)))
                     parts(n, h, i, j) *= std::exp(m(n, h) - wanted(n, h));
                 });
    }
  return parts;
}

template <class R>
tensor<R> without_last_value(const tensor<R>& v) {
  extents shape = v.shape;
  --shape[3];
  tensor<R> r(shape);
  each_place(shape, [&](int64 b, int64 t, int64 h, int64 j) { r(b, t, h, j) = v(b, t, h, j); });
  return r;
}
// Results of 0 in the shapes of out [B, L, H, V] and of a state's parts with m.
template <class Outputs, class R>
Outputs blank_with_log_scale(const extents& out, int64 states, int64 keys) {
  return {tensor<R>(out), parts_of_state(tensor<R>({states, out[2], keys, out[3] + 1}),
                                         log_scale_of_state(tensor<R>(), states, out[2]))};
}

template <class R>
tensor<R> with_ones(const tensor<R>& v) {
  extents shape = v.shape;
  ++shape[3];
  tensor<R> r(shape, R(1));
  each_place(v.shape, [&](int64 b, int64 t, int64 h, int64 j) { r(b, t, h, j) = v(b, t, h, j); });
  return r;
}

// o / D(n) of o beside n [B, L, H, V + 1]. divisor(b, t, h, n)
template <class R, class Divisor>
tensor<R> divided(const tensor<R>& o, Divisor divisor) {
  tensor<R> r = without_last_value(o);
  const int64 V = r.extent(3);
  each_place(r.shape, [&](int64 b, int64 t, int64 h, int64 j) {
    const R by = divisor(b, t, h, o(b, t, h, V));
    r(b, t, h, j) = std::isinf(value_of(by)) ? R{} : o(b, t, h, j) / by;
  });
  return r;
}
// slope(b, t, h, n) = D'(n)
template <class R, class Divisor, class Slope>
tensor<R> divided_adjoint(const tensor<R>& o, const tensor<R>& dout, Divisor divisor, Slope slope) {
  tensor<R> d(o.shape);
  const int64 V = dout.extent(3);
  each_place(dout.shape, [&](int64 b, int64 t, int64 h, int64 j) {
    const R n = o(b, t, h, V), by = divisor(b, t, h, n), g = dout(b, t, h, j) / by;
    if (std::isinf(value_of(by))) return;
    d(b, t, h, j) = g;
    d(b, t, h, V) += R(-1) * slope(b, t, h, n) * g * (o(b, t, h, j) / by);
  });
  return d;
}

}  // namespace support::oracle
