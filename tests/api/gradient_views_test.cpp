// Gradients in views of other forms than their operands': gaps between elements, a key axis where
// all keys have one gate. The same numbers, and a plan has room for them.

#include <gtest/gtest.h>
#include <gatescan/gatescan.hpp>

#include <vector>

namespace {

using namespace gatescan;

struct gla_problem {
  static constexpr index_t L = 70, H = 2, K = 32, V = 16;  // rows of whole registers
  std::vector<float> q, k, v, gates, d_out;
  gla::inputs<float> in;

  static std::vector<float> numbers(index_t count, float from, float to) {
    static unsigned state = 1;
    std::vector<float> x(static_cast<std::size_t>(count));
    for (float& y : x) {
      state = state * 1664525u + 1013904223u;
      y = from + (to - from) * static_cast<float>(state >> 8) / 16777216.0f;
    }
    return x;
  }
  gla_problem()
      : q(numbers(L * H * K, -1, 1)),
        k(numbers(L * H * K, -1, 1)),
        v(numbers(L * H * V, -1, 1)),
        gates(numbers(L * H, -0.3f, 0)),
        d_out(numbers(L * H * V, -1, 1)) {
    in = {.q = {q.data(), {1, L, H, K}},
          .k = {k.data(), {1, L, H, K}},
          .v = {v.data(), {1, L, H, V}},
          .log_decay = {gates.data(), {1, L, H, 1}}};
  }
  template <class Mode>
  std::vector<float> gate_gradient(const Mode& mode, index_t keys) {
    std::vector<float> d(static_cast<std::size_t>(L * H * keys));
    backward(cpu{.threads = 1}, mode, in, {.out = {d_out.data(), {1, L, H, V}}},
             {.log_decay = {d.data(), {1, L, H, keys}}});
    return d;
  }
};

template <class F>
void in_each_mode(F&& f) {
  f(recurrent{});
  f(scan{});
  f(chunked{});
  f(attention{});
}

TEST(gradient_views, of_a_shared_gate_may_have_keys) {
  gla_problem p;
  const auto want = p.gate_gradient(recurrent{}, p.K);
  in_each_mode([&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    const auto each = p.gate_gradient(mode, p.K), sums = p.gate_gradient(mode, 1);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      double sum = 0;
      for (std::size_t key = 0; key < p.K; ++key) {
        const std::size_t at = i * p.K + key;
        EXPECT_NEAR(each[at], want[at], 2e-3) << i << ", key " << key;
        sum += static_cast<double>(each[at]);
      }
      EXPECT_NEAR(sums[i], sum, 2e-2) << i;
    }
  });
}

TEST(gradient_views, plans_have_room_for_gaps) {
  gla_problem p;
  in_each_mode([&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    const cpu backend{.threads = 1};
    gla::problem<float> shape;
    shape.batch = 1, shape.time = p.L, shape.heads = p.H, shape.keys = p.K, shape.values = p.V;
    const plan planned{backend, mode, shape};
    const auto of = [&](index_t step) {
      std::vector<float> dq(p.q.size() * static_cast<std::size_t>(step));
      layout strided{1, p.L, p.H, p.K};
      for (int i = 0; i < strided.rank; ++i) strided.stride[i] *= step;
      std::vector<float> dg(p.gates.size());
      std::vector<std::byte> memory(planned.workspace_bytes(), std::byte{0xff});
      planned.backward(p.in, {.out = {p.d_out.data(), {1, p.L, p.H, p.V}}},
                       {.q = {dq.data(), strided}, .log_decay = {dg.data(), {1, p.L, p.H, 1}}},
                       {memory});
      return dq;
    };
    const auto dense = of(1), gaps = of(2);
    for (std::size_t i = 0; i < dense.size(); ++i) {
      EXPECT_EQ(gaps[2 * i], dense[i]) << i;
      EXPECT_EQ(gaps[2 * i + 1], 0.0f) << i;
    }
  });
}

// As gla, but keys get their gradient in two parts.
struct twice : gla {
  template <class T>
  struct inputs : gla::inputs<T> {
    using recurrence = twice;
    using format = T;
  };
  template <class X, class D, class At, class R>
  GATESCAN_INLINE static void keys_adjoint(const X& x, const D& d, const At& at,
                                           const keys_of<R>& g) {
    gla::keys_adjoint(x, d, at, g);
    at.add(d.k, g.k);
  }
};

TEST(gradient_views, a_derived_recurrence_may_add_twice) {
  gla_problem p;
  twice::inputs<float> in;
  in.q = p.in.q, in.k = p.in.k, in.v = p.in.v, in.log_decay = p.in.log_decay;
  in_each_mode([&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    std::vector<float> once(p.k.size()), both(p.k.size());
    const layout keys{1, p.L, p.H, p.K};
    const view<const float> d_out(p.d_out.data(), {1, p.L, p.H, p.V});
    backward(cpu{.threads = 1}, mode, p.in, {.out = d_out}, {.k = {once.data(), keys}});
    backward(cpu{.threads = 1}, mode, in, {.out = d_out}, {.k = {both.data(), keys}});
    for (std::size_t i = 0; i < once.size(); ++i) EXPECT_EQ(both[i], 2 * once[i]) << i;
  });
}

TEST(gradient_views, no_batch_and_no_keys) {
  in_each_mode([](const auto& mode) {
    float none = 0;
    const gla::inputs<float> in{.q = {&none, {0, 4, 1, 0}},
                                .k = {&none, {0, 4, 1, 0}},
                                .v = {&none, {0, 4, 1, 8}},
                                .log_decay = {&none, {0, 4, 1, 0}}};
    EXPECT_NO_THROW(forward(cpu{.threads = 1}, mode, in, {.out = {&none, {0, 4, 1, 8}}}));
  });
}

}  // namespace
