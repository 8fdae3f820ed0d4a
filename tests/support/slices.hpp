// Parts of a problem along time, and parts put together again.
#pragma once

#include <cstring>
#include <string>

#include "problem.hpp"

namespace support {

// of an operand or result of the case's recurrence
template <class O>
bool has_time(const std::string& name) {
  bool found = name == "out";
  case_of<O>::recurrence::operands(
      [&](const char* operand, const gatescan::axes& a, gatescan::presence) {
        if (name == operand) found = a.has(gatescan::axis::time);
      });
  return found;
}

template <class T>
tensor<T> slice(const tensor<T>& x, int64 begin, int64 end) {
  if (!x.given()) return {};
  extents shape = x.shape;
  shape[1] = end - begin;
  tensor<T> r(shape);
  int64 row = 1;
  for (std::size_t i = 2; i < shape.size(); ++i) row *= shape[i];
  for (int64 b = 0; b < shape[0]; ++b)
    for (int64 i = 0; i < (end - begin) * row; ++i)
      r.data[static_cast<std::size_t>(b * (end - begin) * row + i)] =
          x.data[static_cast<std::size_t>((b * x.extent(1) + begin) * row + i)];
  return r;
}

// tokens begin..end of every operand (or result) that has a time axis; the others as they are
template <class O>
typename O::inputs slice_inputs(typename O::inputs in, int64 begin, int64 end) {
  O::operands(
      [&](const char* name, auto& x) {
        if (has_time<O>(name)) x = slice(x, begin, end);
      },
      in);
  return in;
}
template <class O>
typename O::outputs slice_results(typename O::outputs out, int64 begin, int64 end) {
  O::results(
      [&](const char* name, auto& x) {
        if (has_time<O>(name)) x = slice(x, begin, end);
      },
      out);
  return out;
}

// the same numbers and the same bits: NaN equals itself, and -0 is not 0
template <class T>
bool same_bits(const tensor<T>& x, const tensor<T>& y) {
  return x.shape == y.shape && (x.data.empty() || std::memcmp(x.data.data(), y.data.data(),
                                                              x.data.size() * sizeof(T)) == 0);
}

}  // namespace support
