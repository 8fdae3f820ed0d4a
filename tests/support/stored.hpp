// Memory for one operand of a library call: its numbers in storage format, in any layout, with
// poison in the gaps and guards on both sides, so that a test sees every element that was touched.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <gatescan/core/state.hpp>
#include <type_traits>

#include "generate.hpp"
#include "memory.hpp"

namespace support {

enum class layouts {
  dense,
  odd,          // starts at an odd element, rows padded to an odd length
  reversed,     // every stride negative
  transposed,   // the first axis is the contiguous one
  interleaved,  // complex numbers as std::complex, real ones 3 apart
  along_time,   // the second axis is the contiguous one; all_layouts has it not
};
inline constexpr layouts all_layouts[] = {layouts::dense, layouts::odd, layouts::reversed,
                                          layouts::transposed, layouts::interleaved};

// Numbers in and out of a storage format. Out of line: gcc 12 at -O2 -march=native drops the
// rounding to float where it vectorises the two parts of a complex number.
template <class S>
[[gnu::noinline]] S to_storage(double x) {
  if constexpr (sizeof(S) == 2)
    return S(static_cast<float>(x));
  else
    return static_cast<S>(x);
}
template <class S>
double from_storage(S x) {
  if constexpr (sizeof(S) == 2)
    return static_cast<double>(static_cast<float>(x));
  else
    return static_cast<double>(x);
}

template <class S>
class stored {
 public:
  stored() = default;  // not given
  // `poison` fills the guards, the gaps and, unless numbers follow by write(), the elements
  stored(extents shape, bool complex, layouts kind, unsigned char poison)
      : given_(true), shape_(std::move(shape)), complex_(complex), poison_(poison) {
    place(kind);
    const auto planes = static_cast<std::size_t>(
        complex_ && kind != layouts::interleaved ? 2 : 1 + columns_beside());
    plane_ = span_ + 2 * guard;
    memory_.resize(planes * static_cast<std::size_t>(plane_));
    std::memset(static_cast<void*>(memory_.data()), poison_, memory_.size() * sizeof(S));
  }

  void write(const tensor<double>& x) {
    each([&](std::size_t n, int64 at) { cell(at) = to_storage<S>(x.data[n]); });
  }
  void write(const tensor<cplx<double>>& x) {
    each([&](std::size_t n, int64 at) {
      cell(at) = to_storage<S>(x.data[n].re);
      if (complex_) cell(at + imaginary()) = to_storage<S>(x.data[n].im);
    });
  }
  void read(tensor<double>& x) const {
    x = tensor<double>(shape_);
    each([&](std::size_t n, int64 at) { x.data[n] = from_storage(cell(at)); });
  }
  void read(tensor<cplx<double>>& x) const {
    x = tensor<cplx<double>>(shape_);
    each([&](std::size_t n, int64 at) {
      x.data[n] = from_storage(cell(at));
      if (complex_) x.data[n].im = from_storage(cell(at + imaginary()));
    });
  }

  // no byte outside of the elements has changed
  bool guards_intact() const {
    stored other = *this;
    each([&](std::size_t, int64 at) {
      std::memset(static_cast<void*>(&other.cell(at)), poison_, sizeof(S));
      if (complex_)
        std::memset(static_cast<void*>(&other.cell(at + imaginary())), poison_, sizeof(S));
    });
    const auto* bytes = reinterpret_cast<const unsigned char*>(other.memory_.data());
    for (std::size_t i = 0; i < other.memory_.size() * sizeof(S); ++i)
      if (bytes[i] != poison_) return false;
    return true;
  }
  bool same_bytes(const stored& other) const {
    return memory_.size() == other.memory_.size() &&
           (memory_.empty() ||
            std::memcmp(memory_.data(), other.memory_.data(), memory_.size() * sizeof(S)) == 0);
  }

  bool given() const { return given_; }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::view<T>() {
    gatescan::view<T> v;
    if (given_) v = gatescan::view<T>(&cell(first_), where());
    return v;
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::complex_view<T>() {
    if (!given_) return {};
    return {&cell(first_), complex_ ? &cell(first_ + imaginary()) : nullptr, where()};
  }
  // The parts of a state (normalised.hpp), or its only one.
  template <template <class> class State, class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>&& gatescan::detail::has_parts<State<T>>)
  operator State<T>() {
    State<T> x;
    if (!given_) return x;
    State<T>::parts(
        [&](gatescan::state_part which, const char*, const gatescan::axes& a, auto& part) {
          const auto column = static_cast<int64>(which);
          if (column > columns_beside()) return;
          gatescan::layout l;
          const auto add_axis = [&](std::size_t i, int64 extent) {
            l.shape[l.rank] = extent, l.stride[l.rank++] = stride_[i];
          };
          add_axis(0, shape_[0]), add_axis(1, shape_[1]);
          if (a.has(gatescan::axis::key)) add_axis(2, shape_[2]);
          if (a.has(gatescan::axis::value)) add_axis(3, values());
          part = gatescan::view<T>(&cell(first_ + column * plane_ +
                                         (column > 0 ? values() + column - 1 : 0) * stride_[3]),
                                   l);
        },
        x);
    return x;
  }

 private:
  static constexpr int64 guard = 24;

  int64 rank() const { return static_cast<int64>(shape_.size()); }
  // Of a state of several parts (normalised.hpp): how many columns there are beside the values.
  // Each part has memory of its own.
  int64 columns_beside() const { return std::max<int64>(rank() - 5, 0); }
  int64 values() const { return shape_[3] - columns_beside(); }
  int64 imaginary() const { return interleaved_ ? 1 : plane_; }
  S& cell(int64 at) { return memory_[static_cast<std::size_t>(at)]; }
  const S& cell(int64 at) const { return memory_[static_cast<std::size_t>(at)]; }

  gatescan::layout where() const {
    gatescan::layout l;
    l.rank = static_cast<int>(rank());
    for (std::size_t i = 0; i < shape_.size(); ++i)
      l.shape[i] = shape_[i], l.stride[i] = stride_[i];
    return l;
  }

  void place(layouts kind) {
    stride_.resize(shape_.size());
    const bool transposed = kind == layouts::transposed;
    extents order;  // of axes, the contiguous one first
    for (int64 i = 0; i < rank(); ++i) order.push_back(transposed ? i : rank() - 1 - i);
    if (kind == layouts::along_time && rank() > 1)
      std::rotate(order.begin(), order.end() - 2, order.end() - 1);
    interleaved_ = complex_ && kind == layouts::interleaved;
    int64 step = interleaved_ ? 2 : kind == layouts::interleaved ? 3 : 1;
    for (std::size_t i = 0; i < shape_.size(); ++i) {
      const auto axis = static_cast<std::size_t>(order[i]);
      stride_[axis] = kind == layouts::reversed ? -step : step;
      step *= shape_[axis];
      if (kind == layouts::odd && i == 0) step = (step + 3) | 1;
    }
    span_ = std::max<int64>(step, 0) + 1;
    first_ = guard + (kind == layouts::odd ? 1 : 0);
    if (kind == layouts::reversed)
      for (std::size_t i = 0; i < shape_.size(); ++i)
        first_ += std::max<int64>(shape_[i] - 1, 0) * -stride_[i];
  }

  // f(row-major number, place in memory) for every element
  template <class F>
  void each(F f) const {
    const auto total = given_ ? static_cast<std::size_t>(count(shape_)) : 0;
    extents i(shape_.size(), 0);
    for (std::size_t n = 0; n < total; ++n) {
      int64 at = first_;
      for (std::size_t axis = 0; axis < i.size(); ++axis) at += i[axis] * stride_[axis];
      const int64 beside = columns_beside() > 0 ? std::max<int64>(i[3] - values() + 1, 0) : 0;
      if (beside < 2 || i[2] == 0) f(n, at + beside * plane_);  // one m a head
      for (std::size_t axis = i.size(); axis-- > 0;) {
        if (++i[axis] < shape_[axis]) break;
        i[axis] = 0;
      }
    }
  }

  bool given_ = false;
  extents shape_, stride_;
  bool complex_ = false, interleaved_ = false;
  unsigned char poison_ = 0;
  int64 first_ = 0, span_ = 0, plane_ = 0;
  memory<S> memory_;
};

// A gradient's part that has none: it is not asked for, and 0.
template <class State>
void leave_out_fixed_part(State& x) {
  if constexpr (gatescan::detail::has_parts<State>)
    State::parts(
        [](gatescan::state_part which, const char*, const gatescan::axes&, auto& part) {
          if (which != gatescan::state_part::log_scale) return;
          if constexpr (!std::is_const_v<std::remove_pointer_t<decltype(part.data)>>)
            for (int64 n = 0; part.given() && n < part.shape[0]; ++n)
              for (int64 h = 0; h < part.shape[1]; ++h)
                part.data[n * part.stride[0] + h * part.stride[1]] = 0;
          part = {};
        },
        x);
}

// Bytes of 0xff are a NaN in every format, bytes of 0xaa a small negative number.
inline constexpr unsigned char poison_nan = 0xff, poison_number = 0xaa;

}  // namespace support
