#pragma once
// A frame that turns with a complex state, one direction a key: S = R S', |R| = 1. Between chunks
// S' is multiplied by the magnitude of the gates only, as a real state is, and R, kept in double
// behind the state, by their direction: a rotation is never rounded into the state. Where a chunk
// forgets most of the state there is nothing to keep exact, and R is 1 again: turning there and
// back would round what came last, and lose an imaginary part that is small beside the real one.

#include <cmath>

#include "carry.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
struct turning_frame {
  C *before = nullptr, *after = nullptr;       // [rows]: R at the start and at the end of a chunk
  C *factor = nullptr, *factor_low = nullptr;  // [rows]: what S' is multiplied by

  turning_frame() = default;
  turning_frame(arena& scratch, const matrix_shape& n) {
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
    const index_t pitch = n.key_pitch;
    const double* r = direction(n, from);
    double* turned = direction(n, to);
    for (index_t i = 0; i < pitch; ++i) {
      double re = r[i] + 1, im = r[pitch + i];
      before[i] = static_cast<C>(re), before[pitch + i] = static_cast<C>(im);
      const double x = static_cast<double>(chunk.high[i]) + static_cast<double>(chunk.low[i]);
      const double y =
          static_cast<double>(chunk.high[pitch + i]) + static_cast<double>(chunk.low[pitch + i]);
      const double length = std::sqrt(x * x + y * y);
      if (length >= least_kept) {
        const double cosine = x / length, sine = y / length, was = re;
        re = was * cosine - im * sine, im = was * sine + im * cosine;
        put_factor(i, length);
        put_factor(pitch + i, 0);
      } else {  // NaN too
        put_factor(i, x * re - y * im);
        put_factor(pitch + i, x * im + y * re);
        re = 1, im = 0;
      }
      after[i] = static_cast<C>(re), after[pitch + i] = static_cast<C>(im);
      turned[i] = re - 1, turned[pitch + i] = im;
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
  /// state *= one of the directions above
  static void multiply(const matrix_shape& n, const C* by, C* state) {
    using P = simd::pack<C>;
    for (index_t i = 0; i < n.key_pitch; ++i) {
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

  void put_factor(index_t row, double x) const {
    factor[row] = static_cast<C>(x);
    factor_low[row] = static_cast<C>(x - static_cast<double>(factor[row]));
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
