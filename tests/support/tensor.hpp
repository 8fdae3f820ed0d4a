// A dense row-major array that owns its numbers: what the oracle and the tests compute with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace support {

using int64 = std::int64_t;
using extents = std::vector<int64>;

inline int64 count(const extents& shape) {
  int64 n = 1;
  for (const int64 extent : shape) n *= extent;
  return n;
}

template <class T>
struct tensor {
  extents shape;  // empty: the tensor is not given
  std::vector<T> data;

  tensor() = default;
  explicit tensor(extents s, T value = T{})
      : shape(std::move(s)), data(static_cast<std::size_t>(count(shape)), value) {}

  bool given() const { return !shape.empty(); }
  int64 extent(std::size_t axis) const { return shape[axis]; }
  int64 size() const { return static_cast<int64>(data.size()); }

  template <class... I>
  T& operator()(I... i) {
    return data[offset({static_cast<int64>(i)...})];
  }
  template <class... I>
  const T& operator()(I... i) const {
    return data[offset({static_cast<int64>(i)...})];
  }

  // every element through f, into a tensor of what f returns
  template <class F>
  auto map(F f) const {
    tensor<decltype(f(std::declval<const T&>()))> r;
    r.shape = shape;
    for (const T& x : data) r.data.push_back(f(x));
    return r;
  }

  bool operator==(const tensor&) const = default;

 private:
  std::size_t offset(std::initializer_list<int64> at) const {
    int64 o = 0;
    std::size_t axis = 0;
    for (const int64 i : at) o = o * shape[axis++] + i;
    return static_cast<std::size_t>(o);
  }
};

}  // namespace support
