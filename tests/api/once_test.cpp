// What a recurrence makes of a parameter once a channel (core/once.hpp) has the bits of what it
// makes at every token: with a parameter that has no time, and with one that has, of which there is
// nothing to note.

#include <gtest/gtest.h>
#include <gatescan/core/once.hpp>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::index_t;

// h_t = e^(-softplus(b) sigmoid(r_t)) h_{t-1} + sigmoid(b) x_t
template <bool Notes>
struct soft_decay : gatescan::channel_state<soft_decay<Notes>>,
                    gatescan::gate_beside_value,
                    gatescan::plain_output {
  static constexpr const char* name = "soft_decay";
  using adds_once = soft_decay;
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::entry};
  static constexpr bool unit_keys = true;

  template <class V>
  struct fields {
    using recurrence = soft_decay;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> x{};
    gatescan::gate_field<V> r{}, b{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum gatescan::axis;
    using enum gatescan::presence;
    f("x", gatescan::axes{batch, time, head, value}, required, s.x...);
    f("r", gatescan::axes{batch, time, head, value}, required, s.r...);
    f("b", gatescan::axes{batch, time, head, value}, required, s.b...);
  }
  template <index_t Slot>
  GATESCAN_MEMBER auto of_b(const auto& x, const auto& at, const auto& f) {
    if constexpr (Notes)
      return gatescan::once<Slot>(at, x.b, f);
    else
      return f(at(x.b));
  }
  GATESCAN_MEMBER auto rate(const auto& x, const auto& at) {
    return of_b<0>(x, at, [](const auto& b) { return gatescan::softplus(b); });
  }
  GATESCAN_MEMBER auto share(const auto& x, const auto& at) {
    return of_b<1>(x, at, [](const auto& b) { return gatescan::sigmoid(b); });
  }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    using E = decltype(at(x.x));
    return gatescan::value_and_gate_of<E>{
        share(x, at) * at(x.x), gatescan::exp(-(rate(x, at) * gatescan::sigmoid(at(x.r))))};
  }
  GATESCAN_MEMBER void values_adjoint(const auto& x, const auto& d, const auto& at, const auto& w,
                                      const auto& d_w) {
    using E = decltype(at(x.x));
    const E s = share(x, at), r = gatescan::sigmoid(at(x.r)), d_log = w.gate * d_w.gate;
    at.add(d.x, d_w.v * s);
    at.add(d.r, -(d_log * rate(x, at)) * (r * (E(1) - r)));
    at.add(d.b, d_w.v * at(x.x) * (s * (E(1) - s)) - d_log * r * s);
  }
};

constexpr int64 B = 2, L = 77, H = 3;

struct numbers_of_problem {
  int64 D;
  bool has_time;
  std::vector<float> x, r, b, d_out;

  numbers_of_problem(int64 channels, bool time) : D(channels), has_time(time) {
    generator g(7);
    const auto normals = [&](int64 n) {
      std::vector<float> all;
      for (int64 i = 0; i < n; ++i) all.push_back(static_cast<float>(g.normal()));
      return all;
    };
    const int64 size = B * L * H * D;
    x = normals(size), r = normals(size), d_out = normals(size);
    b = normals(has_time ? size : H * D);
  }
  gatescan::layout layout_of_b() const {
    return has_time ? gatescan::layout({B, L, H, D}) : gatescan::layout({B, L, H, D}, {0, 0, D, 1});
  }
  template <class R, class Mode>
  std::vector<std::vector<float>> results(const Mode& mode) const {
    using gatescan::view;
    const gatescan::layout all({B, L, H, D});
    typename R::template inputs<float> in;
    in.x = {x.data(), all}, in.r = {r.data(), all}, in.b = {b.data(), layout_of_b()};
    std::vector<float> out(x.size()), d_x(out), d_r(out), d_b(b.size());
    gatescan::forward(gatescan::cpu{}, mode, in, {.out = view<float>(out.data(), all)});
    typename R::template gradients<float> d;
    d.x = view<float>(d_x.data(), all), d.r = view<float>(d_r.data(), all);
    d.b = view<float>(d_b.data(), layout_of_b());
    gatescan::backward(gatescan::cpu{}, mode, in, {.out = view<const float>(d_out.data(), all)}, d);
    return {out, d_x, d_r, d_b};
  }
};

TEST(once, has_the_bits_of_every_token) {
  for (const int64 channels : {5, 16, 64, 83, 200})
    for (const bool has_time : {false, true}) {
      SCOPED_TRACE(testing::Message() << channels << " channels, time " << has_time);
      const numbers_of_problem p(channels, has_time);
      const auto compare = [&](const auto& mode) {
        SCOPED_TRACE(mode.name);
        EXPECT_EQ(p.results<soft_decay<true>>(mode), p.results<soft_decay<false>>(mode));
      };
      compare(gatescan::recurrent{});
      compare(gatescan::chunked{8});
      compare(gatescan::scan{3});
      compare(gatescan::attention{});
    }
}

}  // namespace
