#pragma once
// A rotating frame turns with a complex state, one direction a key:
//
//   S[K, V] = R[K] S'[K, V],   |R| = 1
//
// Between chunks S' is multiplied by the magnitude of the gates only, as a real state is, and R,
// kept in double behind the state, by their direction: a rotation is never rounded into the state.
// Where a chunk forgets most of the state there is nothing to keep exact, and R is 1 again: turning
// there and back would round what came last, and lose an imaginary part that is small beside the
// real one.

#include "../../carry.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct rotating_frame {
  C *before = nullptr, *after = nullptr;       // [rows]: R at the start and at the end of a chunk
  C *factor = nullptr, *factor_low = nullptr;  // [rows]: what S' is multiplied by

  rotating_frame() = default;
  rotating_frame(arena& scratch, const matrix_shape& n) {
    before = scratch.take<C>(n.rows), after = scratch.take<C>(n.rows);
    factor = scratch.take<C>(n.rows), factor_low = scratch.take<C>(n.rows);
  }
  gate_product<C> gates() const { return {factor, factor_low}; }

  /// What a state has behind it: Re R - 1 and Im R of every key, so that zeros mean R = 1.
  static index_t size(const matrix_shape& n) {
    return n.rows * static_cast<index_t>(sizeof(double) / sizeof(C));
  }
  static void reset(const matrix_shape& n, C* state) {
    fill(state + n.state_size(), size(n), C(0));
  }

  /// R of the state after a chunk from R of the one before it.
  void turn(const matrix_shape& n, gate_product<C> chunk, const C* from, C* to) const {
    using simd::doubles;
    const index_t pitch = n.key_pitch;
    const double* r = direction(n, from);
    double* turned = direction(n, to);
    const doubles one{D(1), D(1)};
    for (index_t i = 0; i < pitch; i += simd::lanes<C>) {
      doubles re = added(load(r + i), one), im = load(r + pitch + i);
      put(before + i, re), put(before + pitch + i, im);
      const doubles x = exact(chunk, i), y = exact(chunk, pitch + i);
      doubles factor_re, factor_im;
      turn(x.first, y.first, re.first, im.first, factor_re.first, factor_im.first);
      turn(x.second, y.second, re.second, im.second, factor_re.second, factor_im.second);
      put_factor(i, factor_re), put_factor(pitch + i, factor_im);
      put(after + i, re), put(after + pitch + i, im);
      store(turned + i, added(re, {D(-1), D(-1)})), store(turned + pitch + i, im);
    }
  }
  /// S from S', in place; R = 1 from now on.
  void leave(const matrix_shape& n, C* state) const {
    const double* r = direction(n, state);
    for (index_t i = 0; i < n.key_pitch; ++i) {
      after[i] = static_cast<C>(r[i] + 1);
      after[n.key_pitch + i] = static_cast<C>(r[n.key_pitch + i]);
    }
    multiply(n, after, state);
    reset(n, state);
  }
  /// state *= one of the directions above; by 1 it stays what it is, also where one part is not
  /// finite.
  static void multiply(const matrix_shape& n, const C* by, C* state) {
    using P = simd::pack<C>;
    for (index_t i = 0; i < n.key_pitch; ++i) {
      if (by[i] == 1 && by[n.key_pitch + i] == 0) continue;
      const cplx<P> r{P(by[i]), P(by[n.key_pitch + i])};
      C *re = state + i * n.state_pitch, *im = re + n.key_pitch * n.state_pitch;
      for (index_t j = 0; j < n.value_pitch; j += simd::lanes<C>) {
        const cplx<P> s = r * cplx<P>{simd::load(re + j), simd::load(im + j)};
        simd::store(re + j, s.re);
        simd::store(im + j, s.im);
      }
    }
  }

 private:
  static constexpr double least_kept = 1.0 / 16;

  using D = simd::pack<double>;

  // R = re + i im by the direction of x + i y, and what S' is multiplied by.
  static GATESCAN_INLINE void turn(D x, D y, D& re, D& im, D& factor_re, D& factor_im) {
    const D length = simd::sqrt(x * x + y * y), cosine = x / length, sine = y / length;
    const auto kept = length.v >= D(least_kept).v;  // not NaN
    const D turned_re = re * cosine - im * sine, turned_im = re * sine + im * cosine;
    factor_re = kept ? length.v : (x * re - y * im).v;
    factor_im = kept ? D(0).v : (x * im + y * re).v;
    re = kept ? turned_re.v : D(1).v;
    im = kept ? turned_im.v : D(0).v;
  }
  static simd::doubles load(const double* p) {
    return {simd::load(p), simd::load(p + simd::lanes<double>)};
  }
  static void store(double* p, const simd::doubles& x) {
    simd::store(p, x.first);
    simd::store(p + simd::lanes<double>, x.second);
  }
  static simd::doubles added(const simd::doubles& x, const simd::doubles& y) {
    return {x.first + y.first, x.second + y.second};
  }
  static simd::doubles exact(gate_product<C> x, index_t at) {
    return added(simd::widen(simd::load(x.high + at)), simd::widen(simd::load(x.low + at)));
  }
  static void put(C* to, const simd::doubles& x) { simd::store(to, simd::narrow(x)); }
  void put_factor(index_t at, const simd::doubles& x) const {
    const simd::pack<C> rounded = simd::narrow(x);
    const simd::doubles wide = simd::widen(rounded);
    simd::store(factor + at, rounded);
    put(factor_low + at, {x.first - wide.first, x.second - wide.second});
  }
  template <class Number>
  static auto direction(const matrix_shape& n, Number* state) {
    using number = std::conditional_t<std::is_const_v<Number>, const double, double>;
    using bytes = std::conditional_t<std::is_const_v<Number>, const void, void>;
    return static_cast<number*>(static_cast<bytes*>(state + n.state_size()));
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
