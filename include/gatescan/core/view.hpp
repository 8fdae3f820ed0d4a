#pragma once
// Non-owning strided views of the caller's memory.

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "macros.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

using index_t = std::int64_t;
inline constexpr int max_rank = 5;

/// Extents and strides (counted in elements, any sign, 0 for a broadcast axis). rank 0 = not given.
struct layout {
  int rank = 0;
  bool well_formed = true;  // made from at most max_rank extents and as many strides
  index_t shape[max_rank] = {};
  index_t stride[max_rank] = {};

  GATESCAN_UNLINKED constexpr layout() = default;
  GATESCAN_UNLINKED constexpr explicit layout(std::initializer_list<index_t> extents) {
    for (index_t n : extents)
      if (rank < max_rank)
        shape[rank++] = n;
      else
        well_formed = false;
    index_t step = 1;
    for (int i = rank - 1; i >= 0; --i) stride[i] = step, step *= shape[i];
  }
  GATESCAN_UNLINKED constexpr layout(std::initializer_list<index_t> extents,
                                     std::initializer_list<index_t> strides)
      : layout(extents) {
    well_formed = well_formed && strides.size() == extents.size();
    int i = 0;
    for (index_t s : strides)
      if (i < max_rank) stride[i++] = s;
  }
  GATESCAN_UNLINKED constexpr index_t size() const {
    index_t n = rank > 0 ? 1 : 0;
    for (int i = 0; i < rank; ++i) n *= shape[i];
    return n;
  }
};

/// A strided tensor of T: `view<const float> q{data, {B, L, H, K}}` is dense row-major; a second
/// list gives strides. A default view means "not given".
template <class T>
struct view : layout {
  using element = T;
  T* data = nullptr;

  GATESCAN_UNLINKED constexpr view() = default;
  GATESCAN_UNLINKED constexpr view(T* p, const layout& where) : layout(where), data(p) {}
  GATESCAN_UNLINKED constexpr view(T* p, std::initializer_list<index_t> extents)
      : layout(extents), data(p) {}
  GATESCAN_UNLINKED constexpr view(T* p, std::initializer_list<index_t> extents,
                                   std::initializer_list<index_t> strides)
      : layout(extents, strides), data(p) {}
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) GATESCAN_UNLINKED
      constexpr view(const view<U>& other)
      : layout(other), data(other.data) {}
  template <class U>
  requires(!std::is_const_v<T> && std::is_same_v<U, const T>) GATESCAN_UNLINKED
      constexpr view(const view<U>& other)
      : layout(other) {
    static_assert(!std::is_same_v<U, const T>,
                  "gatescan: a result needs a view of numbers that may be written: view<T>, not "
                  "view<const T>");
  }

  GATESCAN_UNLINKED constexpr bool given() const { return rank != 0; }
};

/// Two T's, the real and then the imaginary part, as std::complex<T> is by its definition. Said
/// without <complex>, which takes 0.1 s to compile. A const N needs a const T.
template <class N, class T>
concept complex_number_of = requires(const N& z) {
  requires std::is_const_v<T> || !std::is_const_v<N>;
  requires std::is_same_v<typename N::value_type, std::remove_const_t<T>>;
  requires sizeof(N) == 2 * sizeof(T);
  z.real();
  z.imag();
};

/// A view of such numbers; strides count T's. What a complex_view takes in braces.
template <class T>
struct interleaved_view : layout {
  T* re = nullptr;

  template <class N>
  requires complex_number_of<N, T> GATESCAN_UNLINKED interleaved_view(const view<N>& x)
      : layout(x), re(reinterpret_cast<T*>(x.data)) {
    for (int i = 0; i < rank; ++i) stride[i] *= 2;
  }
  template <class N>
  requires complex_number_of<N, T> GATESCAN_UNLINKED interleaved_view(N* p, const layout& where)
      : interleaved_view(view<N>(p, where)) {}
  template <class N>
  requires complex_number_of<N, T> GATESCAN_UNLINKED
  interleaved_view(N* p, std::initializer_list<index_t> extents)
      : interleaved_view(view<N>(p, extents)) {}
  template <class N>
  requires complex_number_of<N, T> GATESCAN_UNLINKED interleaved_view(
      N* p, std::initializer_list<index_t> extents, std::initializer_list<index_t> strides)
      : interleaved_view(view<N>(p, extents, strides)) {}
};

/// A strided tensor of real or complex numbers as planes: `im == nullptr` means real. Made from a
/// real view, from a view of std::complex (interleaved planes), or from two views of equal shape
/// and strides. Strides count T's.
template <class T>
struct complex_view : layout {
  using element = T;
  T* re = nullptr;
  T* im = nullptr;

  GATESCAN_UNLINKED constexpr complex_view() = default;
  GATESCAN_UNLINKED constexpr complex_view(T* real, T* imaginary, const layout& where)
      : layout(where), re(real), im(imaginary) {}
  GATESCAN_UNLINKED constexpr complex_view(const view<T>& real) : layout(real), re(real.data) {}
  GATESCAN_UNLINKED constexpr complex_view(const view<T>& real, const view<T>& imaginary)
      : layout(real), re(real.data), im(imaginary.data) {
    same_layout_ = imaginary.rank == rank;
    for (int i = 0; same_layout_ && i < rank; ++i)
      same_layout_ = imaginary.shape[i] == shape[i] && imaginary.stride[i] == stride[i];
  }
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) GATESCAN_UNLINKED
      constexpr complex_view(const view<U>& real)
      : complex_view(view<T>(real)) {}
  template <class U>
  requires(std::is_same_v<const U, T> && !std::is_same_v<U, T>) GATESCAN_UNLINKED
      constexpr complex_view(const complex_view<U>& x)
      : layout(x), re(x.re), im(x.im), same_layout_(x.planes_agree()) {}
  template <class U>
  requires(!std::is_const_v<T> && std::is_same_v<U, const T>) GATESCAN_UNLINKED
      constexpr complex_view(const view<U>& real)
      : complex_view(view<T>(real)) {}
  GATESCAN_UNLINKED complex_view(const interleaved_view<T>& x)
      : layout(x), re(x.re), im(x.re == nullptr ? nullptr : x.re + 1) {}
  template <class N>
  requires complex_number_of<N, T> GATESCAN_UNLINKED complex_view(const view<N>& x)
      : complex_view(interleaved_view<T>(x)) {}

  GATESCAN_UNLINKED constexpr bool given() const { return rank != 0; }
  GATESCAN_UNLINKED constexpr bool planes_agree() const { return same_layout_; }

 private:
  bool same_layout_ = true;
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
