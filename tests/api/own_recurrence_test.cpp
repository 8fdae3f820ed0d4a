// A user's recurrences (examples/own_recurrences.hpp) against plain loops in every mode that their
// rung allows, and their gradients against central differences of those loops.

#include "../../examples/own_recurrences.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "../support/stored.hpp"

namespace {

using namespace support;
using doubles = tensor<double>;

struct results {
  doubles out, final_state;
};

// f(sequence, batch, first token, last token)
template <class F>
void for_each_sequence(const doubles& x, const std::vector<int64>& offsets, F f) {
  if (offsets.empty())
    for (int64 b = 0; b < x.extent(0); ++b) f(b, b, 0, x.extent(1));
  for (std::size_t s = 0; s + 1 < offsets.size(); ++s)
    f(static_cast<int64>(s), 0, offsets[s], offsets[s + 1]);
}

// Each case: the operands in order, the state last; `give` names them for the library.
struct tied_case {
  using recurrence = own::tied;
  std::array<doubles, 4> x;  // q, f, v, initial_state
  std::vector<int64> offsets;
  static constexpr double lower = 0.25;

  tied_case(int64 B, int64 L, std::vector<int64> packed) : offsets(std::move(packed)) {
    generator g(1);
    const int64 n = offsets.empty() ? B : static_cast<int64>(offsets.size()) - 1;
    x = {g.normals({B, L, 2, 3}), g.normals({B, L, 2, 3}), g.normals({B, L, 2, 5}),
         g.normals({n, 2, 3, 5})};
  }
  template <class To, class From>
  static void give(To& to, From& from) {
    to.q = from[0], to.f = from[1], to.v = from[2];
    if constexpr (requires { to.lower = lower; }) to.lower = lower;
  }
  results loops() const {
    const doubles &q = x[0], &f = x[1], &v = x[2];
    results r{doubles(v.shape), x[3]};
    doubles& S = r.final_state;
    for_each_sequence(v, offsets, [&](int64 s, int64 b, int64 first, int64 last) {
      for (int64 t = first; t < last; ++t)
        for (int64 h = 0; h < 2; ++h)
          for (int64 i = 0; i < 3; ++i) {
            const double a = lower + (1 - lower) / (1 + std::exp(-f(b, t, h, i)));
            for (int64 j = 0; j < 5; ++j) {
              S(s, h, i, j) = a * S(s, h, i, j) + (1 - a) * v(b, t, h, j);
              r.out(b, t, h, j) += q(b, t, h, i) * S(s, h, i, j);
            }
          }
    });
    return r;
  }
};

struct best_path_case {
  using recurrence = own::best_path;
  std::array<doubles, 3> x;  // d, x, initial_state
  std::vector<int64> offsets;

  best_path_case(int64 B, int64 L, std::vector<int64> packed) : offsets(std::move(packed)) {
    generator g(2);
    const int64 n = offsets.empty() ? B : static_cast<int64>(offsets.size()) - 1;
    x = {g.normals({B, L, 2, 11}), g.normals({B, L, 2, 11}), g.normals({n, 2, 11})};
  }
  template <class To, class From>
  static void give(To& to, From& from) {
    to.d = from[0], to.x = from[1];
  }
  results loops() const {
    results r{doubles(x[0].shape), x[2]};
    doubles& state = r.final_state;
    for_each_sequence(x[0], offsets, [&](int64 s, int64 b, int64 first, int64 last) {
      for (int64 t = first; t < last; ++t)
        for (int64 h = 0; h < 2; ++h)
          for (int64 j = 0; j < 11; ++j)
            r.out(b, t, h, j) = state(s, h, j) =
                std::max(state(s, h, j) + x[0](b, t, h, j), x[1](b, t, h, j));
    });
    return r;
  }
};

struct rnn_case {
  using recurrence = own::rnn;
  std::array<doubles, 3> x;  // w, x, initial_state
  std::vector<int64> offsets;

  rnn_case(int64 B, int64 L, std::vector<int64> packed) : offsets(std::move(packed)) {
    generator g(3);
    const int64 n = offsets.empty() ? B : static_cast<int64>(offsets.size()) - 1;
    x = {g.uniforms({2, 11}, -0.9, 0.9), g.normals({B, L, 2, 11}), g.normals({n, 2, 11})};
  }
  template <class To, class From>
  static void give(To& to, From& from) {
    to.w = from[0], to.x = from[1];
  }
  results loops() const {
    results r{doubles(x[1].shape), x[2]};
    doubles& state = r.final_state;
    for_each_sequence(x[1], offsets, [&](int64 s, int64 b, int64 first, int64 last) {
      for (int64 t = first; t < last; ++t)
        for (int64 h = 0; h < 2; ++h)
          for (int64 j = 0; j < 11; ++j)
            r.out(b, t, h, j) = state(s, h, j) =
                std::tanh(x[0](h, j) * state(s, h, j) + x[1](b, t, h, j));
    });
    return r;
  }
};

template <class T>
stored<T> keep(const doubles& x) {
  stored<T> r(x.shape, false, layouts::odd, poison_number);
  r.write(x);
  return r;
}
doubles read(const auto& from) {
  doubles x;
  from.read(x);
  EXPECT_TRUE(from.guards_intact());
  return x;
}
double largest_difference(const doubles& a, const doubles& b) {
  EXPECT_EQ(a.shape, b.shape);
  double worst = 0;
  for (std::size_t i = 0; i < a.data.size(); ++i)
    worst = std::max(worst, std::abs(a.data[i] - b.data[i]));
  return worst;
}

template <class T, class Case>
struct library {
  using inputs = typename Case::recurrence::template inputs<T>;

  explicit library(const Case& c) : offsets(c.offsets) {
    for (const doubles& x : c.x) operands.push_back(keep<T>(x));
    Case::give(in, operands);
    in.initial_state = operands.back();
    if (!offsets.empty())
      in.sequence_offsets = {offsets.data(), {static_cast<int64>(offsets.size())}};
  }
  template <class Mode>
  results forward(const Mode& mode, const results& like) {
    stored<T> out(like.out.shape, false, layouts::odd, poison_nan);
    stored<T> state(like.final_state.shape, false, layouts::odd, poison_nan);
    gatescan::forward(gatescan::cpu{.threads = 2}, mode, in, {.out = out, .final_state = state});
    return {read(out), read(state)};
  }
  template <class Mode>
  std::vector<doubles> backward(const Mode& mode, const results& weights) {
    std::vector<stored<T>> made;
    for (const stored<T>& x : operands)
      made.push_back(stored<T>(read(x).shape, false, layouts::odd, poison_nan));
    typename Case::recurrence::template gradients<T> d;
    Case::give(d, made);
    d.initial_state = made.back();
    stored<T> d_out = keep<T>(weights.out), d_state = keep<T>(weights.final_state);
    gatescan::backward(gatescan::cpu{.threads = 2}, mode, in,
                       {.out = d_out, .final_state = d_state}, d);
    std::vector<doubles> r;
    for (const stored<T>& x : made) r.push_back(read(x));
    return r;
  }

  std::vector<int64> offsets;
  std::vector<stored<T>> operands;
  inputs in;
};

// loss = <weights, results>
double loss(const results& r, const results& weights) {
  double sum = 0;
  for (std::size_t i = 0; i < r.out.data.size(); ++i) sum += r.out.data[i] * weights.out.data[i];
  for (std::size_t i = 0; i < r.final_state.data.size(); ++i)
    sum += r.final_state.data[i] * weights.final_state.data[i];
  return sum;
}
template <class Case>
std::vector<doubles> central_differences(Case c, const results& weights) {
  constexpr double step = 1e-5;
  std::vector<doubles> r;
  for (doubles& x : c.x) {
    doubles d(x.shape);
    for (std::size_t i = 0; i < x.data.size(); ++i) {
      const double here = x.data[i];
      x.data[i] = here + step;
      const double above = loss(c.loops(), weights);
      x.data[i] = here - step;
      const double below = loss(c.loops(), weights);
      x.data[i] = here;
      d.data[i] = (above - below) / (2 * step);
    }
    r.push_back(d);
  }
  return r;
}

template <class Case, class... Modes>
void check(const Modes&... modes) {
  // whole batches, and packed sequences, one of them empty
  for (const Case& c : {Case(2, 37, {}), Case(1, 37, {0, 9, 9, 37})}) {
    const results want = c.loops();
    generator g(4);
    const results weights{g.normals(want.out.shape), g.normals(want.final_state.shape)};
    const std::vector<doubles> d_want = central_differences(c, weights);
    library<double, Case> exact(c);
    library<float, Case> single(c);
    const auto check_mode = [&](const auto& mode) {
      SCOPED_TRACE(mode.name);
      const results got = exact.forward(mode, want), rough = single.forward(mode, want);
      EXPECT_LE(largest_difference(got.out, want.out), 1e-13);
      EXPECT_LE(largest_difference(got.final_state, want.final_state), 1e-13);
      EXPECT_LE(largest_difference(rough.out, want.out), 2e-5);
      EXPECT_LE(largest_difference(rough.final_state, want.final_state), 2e-5);
      const auto d_got = exact.backward(mode, weights), d_rough = single.backward(mode, weights);
      for (std::size_t i = 0; i < d_want.size(); ++i) {
        EXPECT_LE(largest_difference(d_got[i], d_want[i]), 1e-8) << "gradient " << i;
        EXPECT_LE(largest_difference(d_rough[i], d_want[i]), 2e-4) << "gradient " << i;
      }
    };
    (check_mode(modes), ...);
  }
}

TEST(own_recurrence, a_gated_product_has_every_mode) {
  using namespace gatescan;
  check<tied_case>(recurrent{}, scan{}, scan{3}, chunked{}, chunked{1}, chunked{5}, chunked{64},
                   attention{}, automatic{});
}
TEST(own_recurrence, an_associative_operator_has_recurrent_and_scan) {
  using namespace gatescan;
  check<best_path_case>(recurrent{}, scan{}, scan{3}, automatic{});
}
TEST(own_recurrence, a_step_has_recurrent) {
  check<rnn_case>(gatescan::recurrent{}, gatescan::automatic{});
}

// Streaming is the recurrent mode bit for bit for a user's recurrence too.
TEST(own_recurrence, steps_are_the_recurrent_mode) {
  const rnn_case c(1, 37, {});
  library<float, rnn_case> whole(c);
  const results want = whole.forward(gatescan::recurrent{}, c.loops());
  stored<float> state = keep<float>(c.x[2]), out({1, 2, 11}, false, layouts::dense, poison_nan);
  for (int64 t = 0; t < 37; ++t) {
    auto token = whole.in;
    const auto& x = whole.in.x;
    token.x = {x.data + t * x.stride[1], {1, 2, 11}, {0, x.stride[2], x.stride[3]}};
    token.initial_state = {};
    gatescan::step(gatescan::cpu{}, token, state, out);
    const doubles got = read(out);
    for (int64 h = 0; h < 2; ++h)
      for (int64 j = 0; j < 11; ++j) ASSERT_EQ(got(0, h, j), want.out(0, t, h, j)) << t;
  }
  EXPECT_EQ(read(state).data, want.final_state.data);
}

}  // namespace
