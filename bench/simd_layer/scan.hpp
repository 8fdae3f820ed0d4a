// The forward selective scan (softplus, D, z; float) written once over a SIMD layer, so that layers
// can be compared. Dense operands, 16 states a channel; everything else is the library's business.
#pragma once

#include <algorithm>
#include <vector>

#include "functions.hpp"
#include "layers.hpp"
#include "support/operands.hpp"

namespace simd_layer {

template <class Layer>
class scan {
 public:
  static void run(const scan_operands& x) { scan(x).all(); }

 private:
  using vec = typename Layer::vec;
  template <class X, int N>
  using list = X[static_cast<std::size_t>(N)];
  static constexpr int lanes = Layer::lanes;
  static constexpr int line = 16;  // floats of a cache line: channels that go together
  static constexpr int vectors = line / lanes;
  static constexpr int tile = 16;  // tokens; rows 6 KiB apart share few sets of the first cache
  using rows = list<list<float, lanes>, tile>;
  static constexpr int ahead = 2;  // lines
  // States that stay in registers together, and ask together whether exp is easy. With 16 registers
  // 2 / 4 / 8 / 16 took 32.5 / 30.2 / 28.5 / 29.2 ms (g++ 12, D 1536, L 2048).
  static constexpr int together = 8;

  explicit scan(const scan_operands& x)
      : x_(x),
        lines_((x.channels + line - 1) / line),
        a_(static_cast<std::size_t>(lines_ * line * states)),
        state_(a_.size()) {
    for (long c = 0; c < x.channels; ++c)
      for (int n = 0; n < states; ++n) a_[place(c, n)] = x.A[c * states + n];
  }

  void all() {
    for (long t = 0; t < x_.tokens; t += tile)
      for (long c = 0; c < x_.channels; c += line) {
        const int count = static_cast<int>(std::min<long>(tile, x_.tokens - t));
        if (x_.channels - c >= line)
          block<true>(t, count, c);
        else
          block<false>(t, count, c);
      }
    Layer::fence();
    for (long c = 0; c < x_.channels; ++c)
      for (int n = 0; n < states; ++n) x_.final_state[c * states + n] = state_[place(c, n)];
  }

  // [line of channels][vector][state][lane]
  static std::size_t place(long c, int n) {
    return static_cast<std::size_t>(((c / lanes) * states + n) * lanes + c % lanes);
  }

  static std::size_t offset(int n) { return static_cast<std::size_t>(n * lanes); }

  // The first `used` lanes where the block is not whole; none of them may be in use.
  template <bool Whole>
  static vec load(const float* p, int used) {
    if constexpr (Whole) return Layer::load(p);
    return used >= lanes ? Layer::load(p) : Layer::load_first(p, std::max(used, 0));
  }
  template <bool Whole>
  void write(float* p, int used, vec y) const {
    if constexpr (Whole) return streaming_ ? Layer::stream(p, y) : Layer::store(p, y);
    if (used >= lanes)
      Layer::store(p, y);
    else if (used > 0)
      Layer::store_first(p, used, y);
  }

  // Channels [c, c + line) through tokens [t0, t0 + count), in three phases.
  template <bool Whole>
  void block(long t0, int count, long c) {
    const int channels = static_cast<int>(std::min<long>(line, x_.channels - c));
    alignas(64) list<rows, vectors> step, input, y;
    for (int t = 0; t < count; ++t) {
      const long at = (t0 + t) * x_.channels + c;
      for (const float* row : {x_.u, x_.delta, x_.z}) __builtin_prefetch(row + at + ahead * line);
      for (int v = 0; v < vectors; ++v) {
        const int used = channels - v * lanes, i = v * lanes;
        const vec s = simd_layer::softplus<Layer>(load<Whole>(x_.delta + at + i, used));
        const vec u = load<Whole>(x_.u + at + i, used);
        Layer::store(step[v][t], s);
        Layer::store(input[v][t], s * u);
        Layer::store(y[v][t], u * load<Whole>(x_.D + c + i, used));
      }
    }
    for (int v = 0; v < vectors; ++v)
      for (int n = 0; n < states; n += together)
        advance(place(c + v * lanes, n), x_.B + t0 * states + n, x_.C + t0 * states + n, count,
                step[v], input[v], y[v]);
    for (int t = 0; t < count; ++t)
      for (int v = 0; v < vectors; ++v) {
        const int used = channels - v * lanes;
        const long at = (t0 + t) * x_.channels + c + v * lanes;
        const vec z = load<Whole>(x_.z + at, used);
        write<Whole>(x_.out + at, used, Layer::load(y[v][t]) * simd_layer::silu<Layer>(z));
      }
  }

  void advance(std::size_t first, const float* B, const float* C, int count, const rows& step,
               const rows& input, rows& y) {
    list<vec, together> h, a;
#pragma GCC unroll 16
    for (int n = 0; n < together; ++n) h[n] = Layer::load(&state_[first + offset(n)]);
    for (int t = 0; t < count; ++t, B += states, C += states) {
      const vec s = Layer::load(step[t]), in = Layer::load(input[t]);
      vec sum = Layer::load(y[t]);
#pragma GCC unroll 16
      for (int n = 0; n < together; ++n) a[n] = s * Layer::load(&a_[first + offset(n)]);
      simd_layer::exp_each<Layer>(a);
#pragma GCC unroll 16
      for (int n = 0; n < together; ++n) {
        h[n] = Layer::fma(a[n], h[n], in * Layer::set(B[n]));
        sum = Layer::fma(h[n], Layer::set(C[n]), sum);
      }
      Layer::store(y[t], sum);
    }
#pragma GCC unroll 16
    for (int n = 0; n < together; ++n) Layer::store(&state_[first + offset(n)], h[n]);
  }

  scan_operands x_;
  long lines_;
  bool streaming_ = x_.channels % line == 0;  // rows are aligned
  std::vector<float, bench::cache_lines<float>> a_, state_;
};

}  // namespace simd_layer
