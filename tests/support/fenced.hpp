// Memory between pages that nobody may touch: the numbers of an operand end, or begin, where the
// next page is forbidden, so that one element too far is a crash.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <new>
#include <span>
#include <utility>

#include "stored.hpp"

namespace support {

/// Rows that follow each other in memory.
inline gatescan::layout dense_layout(const extents& shape) {
  gatescan::layout l;
  l.rank = static_cast<int>(shape.size());
  gatescan::index_t step = 1;
  for (std::size_t i = shape.size(); i-- > 0;) {
    l.shape[i] = shape[i], l.stride[i] = step;
    step *= shape[i];
  }
  return l;
}

enum class fence { before, after };  // the side on which the forbidden page follows at once

class fenced_bytes {
 public:
  fenced_bytes() = default;
  fenced_bytes(std::size_t bytes, fence side) : bytes_(bytes) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    room_ = (bytes + page - 1) / page * page;
    size_ = room_ + 2 * page;
    void* all = mmap(nullptr, size_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (all == MAP_FAILED) throw std::bad_alloc{};
    all_ = static_cast<std::byte*>(all);
    middle_ = all_ + page;
    protect(PROT_READ | PROT_WRITE);
    first_ = side == fence::before ? middle_ : middle_ + (room_ - bytes);
  }
  fenced_bytes(fenced_bytes&& o) noexcept { swap(o); }
  fenced_bytes& operator=(fenced_bytes&& o) noexcept {
    swap(o);
    return *this;
  }
  ~fenced_bytes() {
    if (all_ != nullptr) munmap(all_, size_);
  }
  std::byte* data() const { return first_; }
  std::span<std::byte> span() const { return {first_, bytes_}; }
  void make_read_only() const { protect(PROT_READ); }

 private:
  void protect(int how) const {
    if (room_ > 0 && mprotect(middle_, room_, how) != 0) throw std::bad_alloc{};
  }
  void swap(fenced_bytes& o) {
    std::swap(bytes_, o.bytes_), std::swap(room_, o.room_), std::swap(size_, o.size_);
    std::swap(all_, o.all_), std::swap(middle_, o.middle_), std::swap(first_, o.first_);
  }
  std::size_t bytes_ = 0, room_ = 0, size_ = 0;
  std::byte *all_ = nullptr, *middle_ = nullptr, *first_ = nullptr;
};

// A dense operand, each plane of it between fences, or each part of a state (normalised.hpp).
template <class S>
class fenced {
 public:
  fenced() = default;  // not given
  fenced(extents shape, bool complex, fence side) : shape_(std::move(shape)) {
    const int planes = complex ? 2 : static_cast<int>(1 + columns_beside());
    for (int plane = 0; plane < planes; ++plane)
      planes_.emplace_back(static_cast<std::size_t>(size_of(plane)) * sizeof(S), side);
    for (const fenced_bytes& plane : planes_)
      std::memset(plane.data(), poison_nan, plane.span().size());
  }
  // for reading only
  template <class T>
  fenced(const tensor<T>& x, bool complex, fence side) : fenced(x.shape, complex, side) {
    each([&](std::size_t n, S* at) {
      if constexpr (std::is_same_v<S, T>) {
        *at = x.data[n];
      } else if constexpr (requires { x.data[n].re; }) {
        *at = to_storage<S>(x.data[n].re);
        if (complex) plane(1)[n] = to_storage<S>(x.data[n].im);
      } else {
        *at = to_storage<S>(x.data[n]);
      }
    });
    for (const fenced_bytes& plane : planes_) plane.make_read_only();
  }

  bool given() const { return !planes_.empty(); }
  template <class T>
  void read(tensor<T>& x) const {
    x = tensor<T>(shape_);
    each([&](std::size_t n, const S* at) {
      if constexpr (requires { x.data[n].re; }) {
        x.data[n].re = from_storage(*at);
        if (planes_.size() == 2) x.data[n].im = from_storage(plane(1)[n]);
      } else {
        x.data[n] = from_storage(*at);
      }
    });
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::view<T>() const {
    if (!given()) return {};
    return {plane(0), dense_layout(shape_)};
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::complex_view<T>() const {
    if (!given()) return {};
    return {plane(0), planes_.size() == 2 ? plane(1) : nullptr, dense_layout(shape_)};
  }
  template <template <class> class State, class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>&& gatescan::detail::has_parts<State<T>>)
  operator State<T>() const {
    State<T> x;
    State<T>::parts(
        [&](gatescan::state_part which, const char*, const gatescan::axes& a, auto& part) {
          const auto i = static_cast<std::size_t>(which);
          if (i >= planes_.size()) return;
          extents shape{shape_[0], shape_[1]};
          if (a.has(gatescan::axis::key)) shape.push_back(shape_[2]);
          if (a.has(gatescan::axis::value)) shape.push_back(values());
          part = gatescan::view<T>(plane(i), dense_layout(shape));
        },
        x);
    return x;
  }

 private:
  S* plane(std::size_t i) const { return reinterpret_cast<S*>(planes_[i].data()); }
  // as in stored.hpp
  int64 columns_beside() const { return std::max<int64>(std::ssize(shape_) - 5, 0); }
  int64 values() const { return shape_[3] - columns_beside(); }
  int64 size_of(int plane) const {
    if (columns_beside() == 0) return count(shape_);
    const int64 heads = shape_[0] * shape_[1];
    return plane == 2 ? heads : heads * shape_[2] * (plane == 1 ? 1 : values());
  }
  // f(row-major number, where it lies) for every element
  template <class F>
  void each(F f) const {
    for (int64 n = 0; given() && n < count(shape_); ++n) {
      const auto number = static_cast<std::size_t>(n);
      if (columns_beside() == 0) {
        f(number, plane(0) + n);
        continue;
      }
      const int64 row = n / shape_[3], column = n % shape_[3];
      if (column < values())
        f(number, plane(0) + row * values() + column);
      else if (column == values())
        f(number, plane(1) + row);
      else if (row % shape_[2] == 0)  // one m a head
        f(number, plane(2) + row / shape_[2]);
    }
  }
  extents shape_;
  std::vector<fenced_bytes> planes_;
};

}  // namespace support
