// S2, S3: operators that a wrong order, a gap, a token twice or a phantom token cannot slip past,
// in every way that scan mode cuts time. Neither commutes, and all their arithmetic is exact.

#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <vector>

#include "../support/stored.hpp"

namespace {

using namespace support;
using gatescan::axes, gatescan::axis, gatescan::presence, gatescan::view;

/// Takes tokens that say their own number. The state is the number it waits for, and how often
/// another one came.
struct witness : gatescan::matrix_state<witness> {
  static constexpr const char* name = "witness";
  static constexpr gatescan::index_t states = 2;
  template <class E>
  struct state_of {
    E next, faults;
  };

  template <class V>
  struct fields {
    using recurrence = witness;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> number{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    f("number", axes{axis::batch, axis::time, axis::head, axis::value}, presence::required,
      s.number...);
  }

  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return gatescan::value_of<decltype(at(x.number))>{at(x.number)};
  }
  template <class X, class E>
  static state_of<E> step(const X& x, const gatescan::value_of<E>& w, const state_of<E>& h) {
    return apply(element_of(x, w), h);
  }
  template <class X, class At, class W, class E>
  static E output(const X&, const At&, const W&, const state_of<E>& h) {
    return h.next + E(1000) * h.faults;
  }

  // Tokens first .. end - 1 in order, but for the faults; none where any is 0.
  template <class E>
  struct segment {
    E any, first, end, faults;
  };
  template <class X, class E>
  static segment<E> element_of(const X&, const gatescan::value_of<E>& w) {
    return {E(1), w.v, w.v + E(1), E(0)};
  }
  template <class E>
  static segment<E> identity() {
    return {E(0), E(0), E(0), E(0)};
  }
  template <class E>
  static segment<E> combine(const segment<E>& later, const segment<E>& earlier) {
    const E gap = gatescan::unless_zero(earlier.any, fault(later, earlier.end));
    return {gatescan::larger(later.any, earlier.any),
            earlier.first + unless(earlier.any, later.first),
            later.end + unless(later.any, earlier.end), earlier.faults + later.faults + gap};
  }
  template <class E>
  static state_of<E> apply(const segment<E>& s, const state_of<E>& h) {
    return {s.end + unless(s.any, h.next), h.faults + s.faults + fault(s, h.next)};
  }

 private:
  template <class E>
  static E unless(E any, E x) {
    return gatescan::unless_zero(E(1) - any, x);
  }
  template <class E>
  static E fault(const segment<E>& s, E next) {
    return gatescan::unless_zero(s.any, gatescan::unless_zero(s.first - next, E(1)));
  }
};
static_assert(gatescan::scannable<witness> && !gatescan::attention_form<witness>);

/// h_t = M_t h_{t-1} + (x_t, 0) with M a rotation by quarter turns and perhaps a mirror: integers
/// stay small for ever.
struct turns : gatescan::matrix_state<turns> {
  static constexpr const char* name = "turns";
  static constexpr gatescan::index_t states = 2;
  template <class E>
  struct state_of {
    E p, q;
  };

  template <class V>
  struct fields {
    using recurrence = turns;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> cos{}, sin{}, mirror{}, x{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    constexpr axes every{axis::batch, axis::time, axis::head, axis::value};
    f("cos", every, presence::required, s.cos...);
    f("sin", every, presence::required, s.sin...);
    f("mirror", every, presence::required, s.mirror...);
    f("x", every, presence::required, s.x...);
  }

  // (p, q) becomes (a p + b q + e, c p + d q + f)
  template <class E>
  struct map {
    E a, b, c, d, e, f;
  };
  template <class X, class At>
  static auto values(const X& x, const At& at) {
    const auto cos = at(x.cos), sin = at(x.sin), mirror = at(x.mirror), b = at(x.x);
    return map<decltype(at(x.x))>{cos, -sin * mirror, sin, cos * mirror, b, b - b};
  }
  template <class X, class E>
  static map<E> element_of(const X&, const map<E>& w) {
    return w;
  }
  template <class X, class E>
  static state_of<E> step(const X&, const map<E>& w, const state_of<E>& h) {
    return apply(w, h);
  }
  template <class X, class At, class W, class E>
  static E output(const X&, const At&, const W&, const state_of<E>& h) {
    return h.p + E(2048) * h.q;
  }
  template <class E>
  static map<E> identity() {
    return {E(1), E(0), E(0), E(1), E(0), E(0)};
  }
  template <class E>
  static map<E> combine(const map<E>& y, const map<E>& x) {
    const state_of<E> moved = apply(y, {x.e, x.f});
    return {y.a * x.a + y.b * x.c,
            y.a * x.b + y.b * x.d,
            y.c * x.a + y.d * x.c,
            y.c * x.b + y.d * x.d,
            moved.p,
            moved.q};
  }
  template <class E>
  static state_of<E> apply(const map<E>& m, const state_of<E>& h) {
    return {m.a * h.p + m.b * h.q + m.e, m.c * h.p + m.d * h.q + m.f};
  }
};
static_assert(gatescan::scannable<turns> && !gatescan::attention_form<turns>);

struct shape {
  int64 batch, time, values;
  std::vector<int64> offsets;
  int64 sequences() const {
    return offsets.empty() ? batch : static_cast<int64>(offsets.size()) - 1;
  }
  int64 first(int64 s) const { return offsets.empty() ? 0 : offsets[static_cast<std::size_t>(s)]; }
  int64 last(int64 s) const {
    return offsets.empty() ? time : offsets[static_cast<std::size_t>(s) + 1];
  }
};
using doubles = tensor<double>;
constexpr int64 heads = 2;

// one token after another, on plain numbers: f(state's two numbers, sequence, batch, token) -> out
struct results {
  doubles out, state;
};
template <class F>
results loop(const shape& n, const doubles& first, F f) {
  results r{doubles({n.batch, n.time, heads, n.values}), first};
  for (int64 s = 0; s < n.sequences(); ++s)
    for (int64 h = 0; h < heads; ++h)
      for (int64 j = 0; j < n.values; ++j)
        for (int64 t = n.first(s); t < n.last(s); ++t) {
          const int64 b = n.offsets.empty() ? s : 0;
          r.out(b, t, h, j) = f(r.state(s, h, 0, j), r.state(s, h, 1, j), b, t, h, j);
        }
  return r;
}

template <class Inputs>
void expect_scan(const shape& n, Inputs in, const doubles& first, const results& want) {
  stored<float> initial(first.shape, false, layouts::odd, poison_number);
  initial.write(first);
  in.initial_state = initial;
  if (!n.offsets.empty())
    in.sequence_offsets = {n.offsets.data(), {static_cast<int64>(n.offsets.size())}};
  SCOPED_TRACE(Inputs::recurrence::name);
  const auto run = [&](const auto& mode, int threads) {
    stored<float> out(want.out.shape, false, layouts::odd, poison_nan);
    stored<float> state(first.shape, false, layouts::odd, poison_nan);
    gatescan::forward(gatescan::cpu{.threads = threads}, mode, in,
                      {.out = out, .final_state = state});
    results got;
    out.read(got.out);
    state.read(got.state);
    EXPECT_EQ(got.out.data, want.out.data) << mode.name << " threads " << threads;
    EXPECT_EQ(got.state.data, want.state.data) << mode.name << " threads " << threads;
  };
  run(gatescan::recurrent{}, 1);
  for (const int threads : {1, 2, 3, 7})
    for (const int segments : {0, 1, 2, 3, 5, 64, 1024}) {
      SCOPED_TRACE(::testing::Message() << "segments " << segments);
      run(gatescan::scan{segments}, threads);
      if (::testing::Test::HasFailure()) return;
    }
}

// every length round the runs of 16, one channel or a register and a bit, packed and not
template <class F>
void for_each_shape(F check) {
  for (const int64 time : {0, 1, 2, 15, 16, 17, 31, 33, 48, 63, 64, 65, 128, 129, 257, 1000})
    for (const shape& n :
         {shape{2, time, 1, {}}, shape{1, time, 19, {}},
          shape{1, time, 3, {0, time / 3, time / 3, std::min(time, time / 3 + 1), time}}}) {
      SCOPED_TRACE(::testing::Message() << "time " << time << " values " << n.values);
      check(n);
      if (::testing::Test::HasFailure()) return;
    }
}

TEST(quality, S2_a_witness_sees_every_token_once_and_in_order) {
  for_each_shape([](const shape& n) {
    generator g(static_cast<std::uint64_t>(n.time));
    doubles first({n.sequences(), heads, 2, n.values}), number({n.batch, n.time, heads, n.values});
    for (int64 s = 0; s < n.sequences(); ++s)
      for (int64 h = 0; h < heads; ++h)
        for (int64 j = 0; j < n.values; ++j) {
          first(s, h, 0, j) = static_cast<double>(g.between(-50, 50));
          for (int64 t = n.first(s); t < n.last(s); ++t)
            number(n.offsets.empty() ? s : 0, t, h, j) =
                first(s, h, 0, j) + static_cast<double>(t - n.first(s));
        }
    const results want =
        loop(n, first, [&](double& next, double&, int64, int64, int64, int64) { return ++next; });
    stored<float> x(number.shape, false, layouts::odd, poison_number);
    x.write(number);
    expect_scan(n, witness::inputs<float>{.number = x}, first, want);
  });
}

TEST(quality, S2_integer_matrices_are_multiplied_in_order) {
  for_each_shape([](const shape& n) {
    generator g(static_cast<std::uint64_t>(n.time) + 1);
    const extents tokens{n.batch, n.time, heads, n.values};
    doubles cos(tokens), sin(tokens), mirror(tokens), x(tokens);
    for (std::size_t i = 0; i < x.data.size(); ++i) {
      (g.coin() ? cos : sin).data[i] = g.coin() ? 1 : -1;
      mirror.data[i] = g.coin() ? 1 : -1;
      x.data[i] = static_cast<double>(g.between(-1, 1));
    }
    doubles first({n.sequences(), heads, 2, n.values});
    for (double& e : first.data) e = static_cast<double>(g.between(-9, 9));
    const results want =
        loop(n, first, [&](double& p, double& q, int64 b, int64 t, int64 h, int64 j) {
          const double c = cos(b, t, h, j), s = sin(b, t, h, j), m = mirror(b, t, h, j);
          const double before = p;
          p = c * before - s * m * q + x(b, t, h, j);
          q = s * before + c * m * q;
          return p + 2048 * q;
        });
    std::vector<stored<float>> held;
    for (const doubles* operand : {&cos, &sin, &mirror, &x}) {
      held.emplace_back(operand->shape, false, layouts::odd, poison_number);
      held.back().write(*operand);
    }
    expect_scan(
        n, turns::inputs<float>{.cos = held[0], .sin = held[1], .mirror = held[2], .x = held[3]},
        first, want);
  });
}

}  // namespace
