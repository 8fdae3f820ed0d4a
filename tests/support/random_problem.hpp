// A small random problem of everything that a problem can be, against the oracle, and a law of it.
#pragma once

#include <gtest/gtest.h>

#include "compare.hpp"
#include "slices.hpp"

namespace support {

// Everything of a problem but its numbers, which come of the same seed.
struct drawn {
  sizes n;
  options c;
  settings how;
  mode m;
};

template <class O>
drawn draw(generator& g) {
  drawn r;
  const bool packed = g.coin(0.3);
  const auto extent = [&g] { return g.coin(0.1) ? 16 : g.between(1, 5); };  // or whole registers
  const auto length = [&g] {  // or several chunks and segments
    return g.coin(0.1) ? g.between(17, 70) : g.between(g.coin(0.1) ? 0 : 1, 12);
  };
  r.n.B = packed ? 1 : g.between(g.coin(0.05) ? 0 : 1, 2);
  r.n.L = length(), r.n.K = extent(), r.n.V = extent();
  r.c.group = g.between(1, 2);
  r.n.H = r.c.group * g.between(1, 2);
  r.c.gate = static_cast<gates>(g.below(8));
  r.c.initial_state = g.coin();
  r.c.sequences = packed ? g.between(1, 4) : 0;
  turn_all<O>(r.c, static_cast<unsigned>(g.below(int64{1} << switch_count<O>)));
  r.how.threads = g.coin(0.2) ? 2 : 1;
  r.how.layout = all_layouts[g.below(std::ssize(all_layouts))];
  r.how.planned = g.coin(0.25);
  const auto modes =
      modes_of<O>({{mode::recurrent}, {mode::scan}, {mode::chunked}, {mode::attention}});
  r.m = modes[static_cast<std::size_t>(g.below(std::ssize(modes)))];
  r.m.chunk = static_cast<int>(g.between(0, 14));
  return r;
}

// Relative to the largest of its siblings too: a tensor of a few numbers may be all cancellation.
template <class T>
double error(const tensor<T>& x, const tensor<T>& y, double scale, double underflow) {
  const double off = rms(difference(x, y));
  return off <= underflow ? 0 : off / std::max(rms(y), scale);
}
template <class Each>
double largest_rms(Each each) {
  double scale = 0;
  each([&scale](const char*, auto& x) { scale = std::max(scale, rms(x)); });
  return scale;
}
template <class O>
void expect_near(const typename O::outputs& got, const typename O::outputs& want,
                 const tolerance& bound) {
  const double scale = largest_rms([&](auto f) { O::results(f, want); });
  O::results(
      [&](const char* name, auto& g, auto& w) {
        ASSERT_EQ(g.shape, w.shape) << name;
        const bool state = std::string(name) == "final_state";
        EXPECT_LE(error(g, w, scale, bound.underflow), state ? bound.state : bound.out) << name;
      },
      got, want);
}
template <class O>
void expect_near(const typename O::inputs& got, const typename O::inputs& want,
                 const tolerance& bound) {
  const double scale = largest_rms([&](auto f) { O::operands(f, want); });
  O::operands(
      [&](const char* name, auto& g, auto& w) {
        ASSERT_EQ(g.shape, w.shape) << name;
        const bool state = std::string(name) == "initial_state";
        EXPECT_LE(error(g, w, scale, bound.underflow),
                  state ? bound.state_gradient : bound.gradient)
            << "gradient of " << name;
      },
      got, want);
}

// What another number of threads gives has the same bits.
template <class O, class T>
void expect_same_with_other_threads(drawn d, const typename O::inputs& in,
                                    const typename O::outputs& dout, const typename O::outputs& out,
                                    const typename O::inputs& gradients) {
  d.how.threads = 3;
  expect_same_results<O>(run_forward<O, T>(d.m, in, d.how), out);
  expect_same_gradients<O>(run_backward<O, T>(d.m, in, dout, d.how), gradients);
}

// No token changes a bit of what came before it.
template <class O, class T>
void expect_causal(const drawn& d, typename O::inputs in, const typename O::outputs& out,
                   generator& g) {
  const int64 from = g.below(d.n.L);
  O::operands(
      [&](const char* name, auto& x) {
        if (!x.given() || !has_time<O>(name)) return;
        const int64 row = x.size() / std::max<int64>(x.extent(0) * x.extent(1), 1);
        for (int64 i = 0; i < x.size(); ++i)
          if (i / row % x.extent(1) >= from) x.data[static_cast<std::size_t>(i)] = {};
      },
      in);
  const auto other = run_forward<O, T>(d.m, in, d.how).out;
  EXPECT_TRUE(same_bits(slice(other, 0, from), slice(out.out, 0, from))) << "before " << from;
}

// Two pieces, the state of the first handed to the second: the bits of the whole in recurrent mode.
template <class O, class T>
void expect_streaming(const drawn& d, const typename O::inputs& in, const typename O::outputs& out,
                      generator& g) {
  const int64 cut = g.between(0, d.n.L);
  const auto first = run_forward<O, T>(d.m, slice_inputs<O>(in, 0, cut), d.how);
  auto rest = slice_inputs<O>(in, cut, d.n.L);
  rest.initial_state = first.final_state;
  const auto second = run_forward<O, T>(d.m, rest, d.how);
  auto want = out;
  const auto begin = slice_results<O>(out, 0, cut);
  want.out = slice(out.out, cut, d.n.L);
  if (d.m.kind == mode::recurrent) {
    EXPECT_TRUE(first.out == begin.out) << "cut at " << cut;
    expect_same_results<O>(second, want);
  } else {
    expect_near<O>(second, want, tolerance_of<T>());
  }
}

template <class O, class T>
void check_drawn(const drawn& d, std::uint64_t seed, generator& g) {
  const auto in = rounded<O, T>(problem<O>(d.n, d.c, seed));
  const auto want = O::forward(in);
  const auto out = run_forward<O, T>(d.m, in, d.how);
  expect_near<O>(out, want, tolerance_of<T>());
  const auto dout = rounded_results<O, T>(random_gradients<O>(want, seed));
  const auto gradients = run_backward<O, T>(d.m, in, dout, d.how);
  expect_near<O>(gradients, as_returned<O>(in, O::backward(in, dout)), tolerance_of<T>());
  const double law = g.uniform();
  if (law < 0.2)
    expect_same_with_other_threads<O, T>(d, in, dout, out, gradients);
  else if (law < 0.6 && d.n.L > 0 && d.n.B > 0)
    expect_causal<O, T>(d, in, out, g);
  else if (d.c.sequences == 0)
    expect_streaming<O, T>(d, in, out, g);
}

// A format for every number; those that are asked for twice come twice as often.
#ifndef GATESCAN_TEST_FORMATS
#define GATESCAN_TEST_FORMATS float, float, double, double, bf16, half, wide<float>, wide<bf16>
#endif
template <class... T>
struct formats {
  template <class O>
  static void check(const drawn& d, std::uint64_t seed, generator& g) {
    const int64 chosen = g.below(sizeof...(T));
    int64 i = 0;
    ((i++ == chosen ? support::check_drawn<O, T>(d, seed, g) : void()), ...);
  }
};

/// The problem that the generator draws, its numbers from the seed.
template <class O>
void check_problem(generator g, std::uint64_t seed) {
  using namespace gatescan;
  const auto d = draw<O>(g);
  SCOPED_TRACE(::testing::Message() << "GATESCAN_SEED=" << seed << ": " << d.m << " " << d.n << " "
                                    << d.c << " threads " << d.how.threads);
  formats<GATESCAN_TEST_FORMATS>::template check<O>(d, seed, g);
}

}  // namespace support
