// A recurrence of a user's with a complex state and a real output, one gate a state entry (S4D, Gu
// et al., arXiv 2206.11893): forward and all gradients against plain loops, in every mode.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <gatescan/gatescan.hpp>
#include <vector>

#include "../support/complex_step.hpp"

namespace {

using namespace gatescan;

// h_t[d,n] = exp(A[d,n] delta[d]) h_{t-1}[d,n] + B[n] u_t[d],   out_t[d] = 2 Re sum_n C[d,n] h[d,n]
struct s4d : result_types<s4d, view, complex_view> {
  static constexpr const char* name = "s4d";
  static constexpr recurrence_form form{.gate = gate_span::entry, .number = numbers::complex};
  static constexpr axes out_axes{axis::batch, axis::time, axis::channel};
  static constexpr axes state_axes{axis::sequence, axis::channel, axis::key};

  template <class V>
  struct fields {
    using recurrence = s4d;
    using format = format_of<V>;
    real_field<V> u{}, delta{}, A_re{}, A_im{}, B{}, C_re{}, C_im{};
    complex_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    using enum axis;
    using enum presence;
    f("u", axes{batch, time, channel}, required, s.u...);
    f("delta", axes{channel}, required, s.delta...);
    f("A_re", axes{channel, key}, required, s.A_re...);
    f("A_im", axes{channel, key}, required, s.A_im...);
    f("B", axes{key}, required, s.B...);
    f("C_re", axes{channel, key}, required, s.C_re...);
    f("C_im", axes{channel, key}, required, s.C_im...);
  }

  template <class E>
  struct channel_values {
    E v, step;
  };
  static auto values(const auto& x, const auto& at) {
    return channel_values<decltype(at(x.u))>{at(x.u), at(x.delta)};
  }
  static auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.B));
    return keys_of<cplx<E>>{{at(x.C_re), at(x.C_im)}, {at(x.B), E(0)}, {}};
  }
  static auto gate(const auto& x, const auto& at, const auto& w) {
    using E = decltype(at(x.A_re));
    return gatescan::exp(cplx<E>{at(x.A_re), at(x.A_im)} * w.step);
  }
  static auto output(const auto&, const auto&, const auto&, auto o) { return o.re + o.re; }

  static void values_adjoint(const auto&, const auto& d, const auto& at, const auto&,
                             const auto& d_w) {
    at.add(d.u, d_w.v);
    at.add(d.delta, d_w.step);
  }
  static void keys_adjoint(const auto&, const auto& d, const auto& at, const auto& g) {
    at.add(d.C_re, g.q.re);
    at.add(d.C_im, g.q.im);
    at.add(d.B, g.k.re);
  }
  static void gate_adjoint(const auto& x, const auto& d, const auto& at, const auto& w, auto& d_w,
                           auto a, auto d_a) {
    const auto d_exponent = d_a * conj(a);
    at.add(d.A_re, d_exponent.re * w.step);
    at.add(d.A_im, d_exponent.im * w.step);
    d_w.step = d_w.step + fma(d_exponent.re, at(x.A_re), d_exponent.im * at(x.A_im));
  }
  static auto output_adjoint(const auto&, const auto&, const auto&, const auto&, auto&, auto o,
                             auto d_out) {
    return decltype(o){d_out + d_out, d_out - d_out};
  }
};
static_assert(attention_form<s4d> && differentiable<s4d>);

constexpr index_t B = 2, L = 21, D = 5, N = 3;

template <class T>
std::vector<T> definition(const plain::operands<T>& x) {
  using std::cos, std::exp, std::sin;
  std::vector<T> out;
  for (index_t b = 0; b < B; ++b) {
    std::vector<T> re(D * N, T(0)), im(D * N, T(0));
    for (index_t t = 0; t < L; ++t)
      for (index_t d = 0; d < D; ++d) {
        T o = 0;
        for (index_t n = 0; n < N; ++n) {
          T &r = re[static_cast<std::size_t>(d * N + n)],
            &i = im[static_cast<std::size_t>(d * N + n)];
          const T step = x.at("delta", {d}), size = exp(x.at("A_re", {d, n}) * step),
                  turn = x.at("A_im", {d, n}) * step, before = r;
          r = size * (cos(turn) * r - sin(turn) * i) + x.at("B", {n}) * x.at("u", {b, t, d});
          i = size * (sin(turn) * before + cos(turn) * i);
          o += x.at("C_re", {d, n}) * r - x.at("C_im", {d, n}) * i;
        }
        out.push_back(T(2) * o);
      }
  }
  return out;
}

struct loops {
  template <class T>
  static plain::results<T> run(const plain::operands<T>& x) {
    return {definition(x), {}};
  }
};

TEST(complex_entries, a_complex_state_has_a_real_output) {
  plain::operands<double> x;
  const auto make = [&](const char* name, layout shape, unsigned seed) {
    x.shapes[name] = shape;
    x.numbers[name] = plain::normals(static_cast<std::size_t>(shape.size()), seed);
  };
  make("u", layout{B, L, D}, 1), make("delta", layout{D}, 2), make("A_re", layout{D, N}, 3);
  make("A_im", layout{D, N}, 4), make("B", layout{N}, 5), make("C_re", layout{D, N}, 6);
  make("C_im", layout{D, N}, 7);
  for (double& e : x.numbers["delta"]) e = 0.1 + std::abs(e) / 4;
  for (double& e : x.numbers["A_re"]) e = -std::abs(e);

  const plain::results<double> want{definition(x), {}},
      weights{plain::normals(want.out.size(), 8), {}};
  const auto check = [&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    s4d::inputs<double> in;
    s4d::gradients<double> d;
    std::map<std::string, std::vector<double>> got;
    s4d::operands(
        [&](const char* name, const axes&, presence, auto& member, auto& to) {
          got[name].resize(x.numbers.at(name).size());
          member = {x.numbers.at(name).data(), x.shapes.at(name)};
          to = {got[name].data(), x.shapes.at(name)};
        },
        in, d);
    std::vector<double> out(want.out.size());
    forward(cpu{.threads = 1}, mode, in, {.out = {out.data(), {B, L, D}}});
    EXPECT_LT(plain::difference(out, want.out), 1e-13);
    backward(cpu{.threads = 1}, mode, in, {.out = {weights.out.data(), {B, L, D}}}, d);
    for (const auto& [name, g] : got)
      EXPECT_LT(plain::difference(
                    g, plain::gradient<loops>(
                           x, weights, [&](auto& z) -> auto& { return z.numbers.at(name); })),
                1e-12)
          << "gradient of " << name;
  };
  check(recurrent{});
  check(scan{.segments = 3});
  check(chunked{5});
  check(attention{});
}

}  // namespace
