// A recurrence of a user's with a gate of its own in every state entry, which is not e^(step
// factor): the programs that have nothing but `gate` to go by agree with the CPU.
#include <cmath>

#include "../support/fenced.hpp"
#include "device.hpp"

namespace {

using namespace gatescan;
using support::generator, support::int64, support::tensor;

// h_t[d,n] = sigmoid(f_t[d,n] + bias[d,n]) h_{t-1}[d,n] + k_t[n] v_t[d],   out_t[d] = q_t h_t[d]
struct entries : grouped_channel_state<entries>, plain_values, plain_output {
  static constexpr const char* name = "entries";
  static constexpr recurrence_form form{.gate = gate_span::entry};

  template <class V>
  struct fields {
    using recurrence = entries;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{}, f{}, bias{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& call, auto&&... s) {
    using enum axis;
    using enum presence;
    call("q", axes{batch, time, group, key}, required, s.q...);
    call("k", axes{batch, time, group, key}, required, s.k...);
    call("v", axes{batch, time, channel}, required, s.v...);
    call("f", axes{batch, time, channel, key}, required, s.f...);
    call("bias", axes{channel, key}, required, s.bias...);
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    return query_and_key_of<decltype(at(x.q))>{at(x.q), at(x.k)};
  }
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at, const auto&) {
    return sigmoid(at(x.f) + at(x.bias));
  }
  GATESCAN_MEMBER void keys_adjoint(const auto&, const auto& d, const auto& at, const auto& g) {
    at.add(d.q, g.q);
    at.add(d.k, g.k);
  }
  GATESCAN_MEMBER void gate_adjoint(const auto&, const auto& d, const auto& at, const auto&, auto&,
                                    auto a, auto d_a) {
    const auto d_raw = d_a * a * (decltype(a)(1) - a);
    at.add(d.f, d_raw);
    at.add(d.bias, d_raw);
  }
};
static_assert(attention_form<entries> && differentiable<entries>);

constexpr index_t L = 41, D = 37, N = 5;

struct problem {
  std::vector<index_t> offsets;
  tensor<double> q, k, v, f, bias, initial, d_out, d_final;

  explicit problem(bool packed) {
    if (packed) offsets = {0, 7, 7, 30, L};
    generator g(7);
    q = g.normals({1, L, N}), k = g.normals({1, L, N}), v = g.normals({1, L, D});
    f = g.normals({1, L, D, N}), bias = g.normals({D, N});
    const int64 n = packed ? 4 : 1;
    initial = g.normals({n, D, N}), d_final = g.normals({n, D, N}), d_out = g.normals({1, L, D});
  }
  // out, the final state, and the gradients of all operands
  template <class Format, class Backend, class Mode>
  std::vector<std::vector<double>> results(const Backend& backend, const Mode& mode) {
    std::vector<std::vector<double>> made;
    made.reserve(8);
    const auto in = [](const tensor<double>& x) {
      return view<const double>(x.data.data(), support::dense_layout(x.shape));
    };
    const auto room = [&](const tensor<double>& like) {
      made.emplace_back(like.data.size(), std::nan(""));
      return view<double>(made.back().data(), support::dense_layout(like.shape));
    };
    entries::inputs<Format> x{.q = in(q), .k = in(k), .v = in(v), .f = in(f), .bias = in(bias)};
    x.initial_state = in(initial);
    if (!offsets.empty())
      x.sequence_offsets = {offsets.data(), {static_cast<index_t>(offsets.size())}};
    forward(backend, mode, x, {.out = room(v), .final_state = room(initial)});
    entries::gradients<Format> d{
        .q = room(q), .k = room(k), .v = room(v), .f = room(f), .bias = room(bias)};
    d.initial_state = room(initial);
    backward(backend, mode, x, {.out = in(d_out), .final_state = in(d_final)}, d);
    return made;
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
    for (std::size_t r = 0; r < want.size(); ++r)
      for (std::size_t i = 0; i < want[r].size(); ++i)
        ASSERT_NEAR(got[r][i], want[r][i], 1e-11 * (1 + std::fabs(want[r][i]))) << r << " " << i;
  }
}

TEST(own_entries_device, agree_with_the_cpu) {
  check(recurrent{});
  check(chunked{5});
  check(scan{3});
  check(attention{});
}

}  // namespace
