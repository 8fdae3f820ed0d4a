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

// A dense operand, each plane of it between fences.
template <class S>
class fenced {
 public:
  fenced() = default;  // not given
  fenced(extents shape, bool complex, fence side) : shape_(std::move(shape)) {
    const auto bytes = static_cast<std::size_t>(count(shape_)) * sizeof(S);
    for (int plane = 0; plane < (complex ? 2 : 1); ++plane) planes_.emplace_back(bytes, side);
    for (const fenced_bytes& plane : planes_) std::memset(plane.data(), poison_nan, bytes);
  }
  // for reading only
  template <class T>
  fenced(const tensor<T>& x, bool complex, fence side) : fenced(x.shape, complex, side) {
    for (std::size_t i = 0; i < x.data.size(); ++i) {
      if constexpr (std::is_same_v<S, T>) {
        plane(0)[i] = x.data[i];
      } else if constexpr (requires { x.data[i].re; }) {
        plane(0)[i] = to_storage<S>(x.data[i].re);
        if (complex) plane(1)[i] = to_storage<S>(x.data[i].im);
      } else {
        plane(0)[i] = to_storage<S>(x.data[i]);
      }
    }
    for (const fenced_bytes& plane : planes_) plane.make_read_only();
  }

  bool given() const { return !planes_.empty(); }
  template <class T>
  void read(tensor<T>& x) const {
    x = tensor<T>(shape_);
    for (std::size_t i = 0; i < x.data.size(); ++i) {
      if constexpr (requires { x.data[i].re; }) {
        x.data[i].re = from_storage(plane(0)[i]);
        if (planes_.size() == 2) x.data[i].im = from_storage(plane(1)[i]);
      } else {
        x.data[i] = from_storage(plane(0)[i]);
      }
    }
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::view<T>() const {
    if (!given()) return {};
    return {plane(0), where()};
  }
  template <class T>
  requires(std::is_same_v<std::remove_const_t<T>, S>) operator gatescan::complex_view<T>() const {
    if (!given()) return {};
    return {plane(0), planes_.size() == 2 ? plane(1) : nullptr, where()};
  }

 private:
  S* plane(std::size_t i) const { return reinterpret_cast<S*>(planes_[i].data()); }
  gatescan::layout where() const {
    gatescan::layout l;
    l.rank = static_cast<int>(shape_.size());
    gatescan::index_t step = 1;
    for (std::size_t i = shape_.size(); i-- > 0;) {
      l.shape[i] = shape_[i], l.stride[i] = step;
      step *= shape_[i];
    }
    return l;
  }
  extents shape_;
  std::vector<fenced_bytes> planes_;
};

}  // namespace support
