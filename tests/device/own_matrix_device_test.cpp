// Recurrences of a user's on matrix states. One uses everything at once: an output of its own,
// parameters without a time axis on both sides, and an operand that has neither keys nor values and
// is read by both sides; the device agrees with the CPU. Of another each side reads an operand that
// has the other side's axis, at the first key and the first value.
#include <cmath>

#include "../support/fenced.hpp"
#include "device.hpp"

namespace {

using namespace gatescan;
using support::generator, support::int64, support::tensor;

// S_t = exp(decay step_t) S_{t-1} + k_t (step_t v_t)^T, out_t = (S_t^T q_t + skip v_t) silu(z_t)
struct retention : matrix_state<retention> {
  static constexpr const char* name = "retention";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key};

  template <class V>
  struct fields {
    using recurrence = retention;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> q{}, k{}, v{}, z{}, step{}, decay{}, skip{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  GATESCAN_CALLS_ANY
  template <class F, class... S>
  GATESCAN_HD static constexpr void operands(F&& f, S&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("z", axes{batch, time, head, value}, required, s.z...);
    f("step", axes{batch, time, head}, required, s.step...);
    f("decay", axes{head, key}, required, s.decay...);
    f("skip", axes{head, value}, required, s.skip...);
  }
  template <class E>
  struct token_values {
    E v, u, step;
  };

  template <class X, class At>
  GATESCAN_HD static auto keys(const X& x, const At& at) {
    using E = decltype(at(x.q));
    return keys_of<E>{at(x.q), at(x.k), gatescan::exp(at(x.decay) * at(x.step))};
  }
  template <class X, class D, class At, class E>
  GATESCAN_HD static void keys_adjoint(const X& x, const D& d, const At& at, const keys_of<E>& g) {
    const E log = g.gate * gatescan::exp(at(x.decay) * at(x.step));
    at.add(d.q, g.q);
    at.add(d.k, g.k);
    at.add(d.decay, log * at(x.step));
    at.add(d.step, log * at(x.decay));
  }
  template <class X, class At>
  GATESCAN_HD static auto values(const X& x, const At& at) {
    const auto u = at(x.v), step = at(x.step);
    return token_values<decltype(at(x.v))>{u * step, u, step};
  }
  template <class X, class D, class At, class W>
  GATESCAN_HD static void values_adjoint(const X&, const D& d, const At& at, const W& w,
                                         const W& d_w) {
    at.add(d.v, d_w.u + d_w.v * w.step);
    at.add(d.step, d_w.v * w.u);
  }
  template <class X, class At, class W, class E>
  GATESCAN_HD static E output(const X& x, const At& at, const W& w, E o) {
    return (o + at(x.skip) * w.u) * silu(at(x.z));
  }
  template <class X, class D, class At, class W, class E>
  GATESCAN_HD static E output_adjoint(const X& x, const D& d, const At& at, const W& w, W& d_w, E o,
                                      E d_out) {
    const E z = at(x.z), inner = d_out * silu(z);
    at.add(d.z, d_out * (o + at(x.skip) * w.u) * silu_slope(z));
    at.add(d.skip, inner * w.u);
    d_w.u = d_w.u + inner * at(x.skip);
    return inner;
  }
};
static_assert(attention_form<retention> && differentiable<retention>);

struct problem {
  static constexpr index_t L = 37, H = 2, K = 3, V = 4;
  std::vector<index_t> offsets;
  index_t n = 1;  // sequences
  tensor<double> q, k, v, z, step, decay, skip, initial, d_out, d_final;

  explicit problem(bool packed) {
    if (packed) offsets = {0, 5, 5, 30, L};
    n = packed ? 4 : 1;
    generator g(3);
    q = g.normals({1, L, H, K}), k = g.normals({1, L, H, K}), v = g.normals({1, L, H, V});
    z = g.normals({1, L, H, V}), step = g.uniforms({1, L, H}, 0.1, 1);
    decay = g.uniforms({H, K}, -2, -0.1), skip = g.normals({H, V});
    initial = g.normals({n, H, K, V}), d_final = g.normals({n, H, K, V});
    d_out = g.normals({1, L, H, V});
  }
  template <class View>
  static View dense(std::vector<double>& data, const support::extents& shape) {
    return View(data.data(), support::dense_layout(shape));
  }
  // out, final state, and the gradients of all operands, one after another
  template <class Format, class Backend, class Mode>
  std::vector<double> results(const Backend& backend, const Mode& mode) {
    using read = view<const double>;
    using write = view<double>;
    const auto in_of = [&](tensor<double>& x) { return dense<read>(x.data, x.shape); };
    std::vector<std::vector<double>> made;
    made.reserve(16);
    const auto room = [&](const tensor<double>& like) {
      made.emplace_back(like.data.size(), std::nan(""));
      return dense<write>(made.back(), like.shape);
    };
    retention::inputs<Format> in{in_of(q),     in_of(k),    in_of(v),       in_of(z), in_of(step),
                                 in_of(decay), in_of(skip), in_of(initial), {}};
    if (!offsets.empty())
      in.sequence_offsets = {offsets.data(), {static_cast<index_t>(offsets.size())}};
    forward(backend, mode, in, {.out = room(v), .final_state = room(initial)});
    backward(
        backend, mode, in, {.out = in_of(d_out), .final_state = in_of(d_final)},
        {room(q), room(k), room(v), room(z), room(step), room(decay), room(skip), room(initial)});
    std::vector<double> all;
    for (const auto& one : made) all.insert(all.end(), one.begin(), one.end());
    return all;
  }
};

template <class Mode>
void check(const Mode& mode) {
  for (const bool packed : {false, true}) {
    SCOPED_TRACE(::testing::Message() << Mode::name << " packed " << packed);
    problem p(packed);
    const auto want = p.results<double>(cpu{}, mode),
               got = p.results<device<double>>(support::emulated_gpu{}, mode);
    ASSERT_EQ(want.size(), got.size());
    for (std::size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got[i], want[i], 1e-11 * (1 + std::fabs(want[i]))) << i;
  }
}

TEST(own_matrix_device, agrees_with_the_cpu) {
  check(recurrent{});
  check(chunked{});
  check(chunked{5});
  check(scan{2});
  check(attention{});
}

// S_t = sigmoid(f_t) S_{t-1} + (boost[0] k_t) ((1 - sigmoid(f_t[0])) boost v_t)^T
// out_t = S_t^T q_t
template <bool BothAxes>
struct tied_to : matrix_state<tied_to<BothAxes>>, plain_output {
  static constexpr const char* name = "tied";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key};

  template <class V>
  struct fields {
    using recurrence = tied_to;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> q{}, k{}, v{}, f{}, boost{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  GATESCAN_CALLS_ANY
  template <class F, class... S>
  GATESCAN_HD static constexpr void operands(F&& call, S&&... s) {
    using enum axis;
    using enum presence;
    call("q", axes{batch, time, head, key}, required, s.q...);
    call("k", axes{batch, time, head, key}, required, s.k...);
    call("v", axes{batch, time, head, value}, required, s.v...);
    call("f", axes{batch, time, head, key_or_one}, required, s.f...);
    call("boost", BothAxes ? axes{head, key, value} : axes{head, value}, required, s.boost...);
  }
  template <class X, class At>
  GATESCAN_HD static auto keys(const X& x, const At& at) {
    return keys_of<decltype(at(x.q))>{at(x.q), at(x.k) * at(x.boost), sigmoid(at(x.f))};
  }
  template <class X, class D, class At, class E>
  GATESCAN_HD static void keys_adjoint(const X& x, const D& d, const At& at, const keys_of<E>& g) {
    const E a = sigmoid(at(x.f));
    at.add(d.q, g.q);
    at.add(d.k, g.k * at(x.boost));
    at.add(d.boost, g.k * at(x.k));
    at.add(d.f, g.gate * a * (E(1) - a));
  }
  template <class X, class At>
  GATESCAN_HD static auto values(const X& x, const At& at) {
    using E = decltype(at(x.v));
    return value_of<E>{(E(1) - sigmoid(at(x.f))) * at(x.boost) * at(x.v)};
  }
  template <class X, class D, class At, class W>
  GATESCAN_HD static void values_adjoint(const X& x, const D& d, const At& at, const W&,
                                         const W& d_w) {
    using E = decltype(at(x.v));
    const E a = sigmoid(at(x.f));
    at.add(d.v, d_w.v * (E(1) - a) * at(x.boost));
    at.add(d.boost, d_w.v * (E(1) - a) * at(x.v));
    at.add(d.f, -(d_w.v * at(x.boost) * at(x.v) * a * (E(1) - a)));
  }
};
using tied = tied_to<false>;
static_assert(attention_form<tied> && differentiable<tied>);

// sum(out d_out), and its gradients by f and boost
template <class Format, class Backend>
struct tied_problem {
  static constexpr index_t L = 21, H = 2, K = 3, V = 4;
  tensor<double> q, k, v, f, boost, d_out;

  explicit tied_problem(index_t gates) {
    generator g(5);
    q = g.normals({1, L, H, K}), k = g.normals({1, L, H, K}), v = g.normals({1, L, H, V});
    f = g.normals({1, L, H, gates}), boost = g.normals({H, V}), d_out = g.normals({1, L, H, V});
  }
  tied::inputs<Format> in() {
    using read = view<const double>;
    const auto of = [](tensor<double>& x) { return problem::dense<read>(x.data, x.shape); };
    return {of(q), of(k), of(v), of(f), of(boost), {}, {}};
  }
  template <class Mode>
  double loss(const Mode& mode) {
    std::vector<double> out(d_out.data.size());
    forward(Backend{}, mode, in(), {.out = problem::dense<view<double>>(out, d_out.shape)});
    double sum = 0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * d_out.data[i];
    return sum;
  }
  template <class Mode>
  void check_gradients(const Mode& mode) {
    std::vector<double> d_f(f.data.size(), std::nan("")), d_boost(boost.data.size(), std::nan(""));
    const plan planned{Backend{}, mode,
                       tied::problem<Format>{.time = L, .heads = H, .keys = K, .values = V}};
    std::vector<std::byte> scratch(planned.workspace_bytes());  // knows of sums of the other side
    planned.backward(in(), {.out = problem::dense<view<const double>>(d_out.data, d_out.shape)},
                     {.f = problem::dense<view<double>>(d_f, f.shape),
                      .boost = problem::dense<view<double>>(d_boost, boost.shape)},
                     {scratch});
    const auto compare = [&](const char* name, tensor<double>& x, const std::vector<double>& got) {
      for (std::size_t i = 0; i < got.size(); i += 7) {
        constexpr double h = 1e-5;
        const double at = x.data[i];
        x.data[i] = at + h;
        const double above = loss(mode);
        x.data[i] = at - h;
        const double below = loss(mode);
        x.data[i] = at;
        EXPECT_NEAR(got[i], (above - below) / (2 * h), 1e-7) << name << " " << i;
      }
    };
    compare("f", f, d_f);
    compare("boost", boost, d_boost);
  }
};

using device_tied_problem = tied_problem<device<double>, support::emulated_gpu>;

template <class Problem>
void check_tied() {
  for (const index_t gates : {index_t{1}, Problem::K}) {
    SCOPED_TRACE(::testing::Message() << gates << " gates a head");
    Problem p(gates);
    p.check_gradients(recurrent{});
    p.check_gradients(chunked{});
    p.check_gradients(chunked{5});
    p.check_gradients(scan{2});
  }
}
TEST(own_matrix_device, each_side_adds_to_operands_of_the_other) {
  check_tied<device_tied_problem>();
}
TEST(own_matrix, each_side_adds_to_operands_of_the_other) {
  check_tied<tied_problem<double, cpu>>();
}

TEST(own_matrix_device, an_operand_has_keys_or_values_but_not_both) {
  device_tied_problem p(1);
  const auto of = [&](tensor<double>& x) {
    return problem::dense<view<const double>>(x.data, x.shape);
  };
  std::vector<double> boost(
      device_tied_problem::H * device_tied_problem::K * device_tied_problem::V, 1),
      d(boost);
  const support::extents shape{device_tied_problem::H, device_tied_problem::K,
                               device_tied_problem::V};
  const tied_to<true>::inputs<device<double>> in{
      of(p.q), of(p.k), of(p.v), of(p.f), problem::dense<view<const double>>(boost, shape), {}, {}};
  try {
    backward(support::emulated_gpu{}, chunked{}, in, {.out = of(p.d_out)},
             {.boost = problem::dense<view<double>>(d, shape)});
    FAIL() << "was not refused";
  } catch (const shape_error& e) {
    EXPECT_EQ(std::string(e.what()).find("boost: expected keys or values"), 0u) << e.what();
  }
}

}  // namespace
