// A recurrence of a user's own with a corrected transition that gives logarithms of its gates, one
// a head: segments of scan, whose summaries run with a gate a key, read no gate that nobody set.
#include <gtest/gtest.h>

#include <cmath>
#include <gatescan/gatescan.hpp>
#include <span>
#include <vector>

#include "../support/generate.hpp"

namespace own {

using namespace gatescan;

struct logged_delta : matrix_state<logged_delta>, plain_output {
  static constexpr const char* name = "logged_delta";
  static constexpr recurrence_form form{.gate = gate_span::key, .moves = transition::corrected};

  template <class V>
  struct fields {
    using recurrence = logged_delta;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{};
    gate_field<V> beta{}, log_decay{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& f, auto&&... s) {
    using enum axis;
    using enum presence;
    f("q", axes{batch, time, head, key}, required, s.q...);
    f("k", axes{batch, time, head, key}, required, s.k...);
    f("v", axes{batch, time, head, value}, required, s.v...);
    f("beta", axes{batch, time, head}, required, s.beta...);
    f("log_decay", axes{batch, time, head, key_or_one}, required, s.log_decay...);
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    using E = decltype(at(x.q));
    const E k = at(x.k);
    return corrected_keys_of<E>{at(x.q), k, decay(at, x.log_decay), at(x.beta) * k};
  }
  GATESCAN_MEMBER bool has_log_gate(const auto&) { return true; }
  GATESCAN_MEMBER auto log_gate(const auto& x, const auto& at) { return at(x.log_decay); }
  GATESCAN_MEMBER bool has_head_gate(const auto& x) { return x.log_decay.one_key; }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.v))>{at(x.beta) * at(x.v)};
  }
};
static_assert(detail::has_log_gate<logged_delta>);

}  // namespace own

namespace {

using gatescan::index_t, gatescan::view;

TEST(corrected_log_gate, segments_of_a_gate_a_head) {
  constexpr index_t L = 4096, V = 8;
  for (const index_t K : {8, 24}) {
    support::generator g(5);
    const auto numbers = [&](index_t n, double size) {
      std::vector<float> x(static_cast<std::size_t>(n));
      for (float& y : x) y = static_cast<float>(size * g.normal());
      return x;
    };
    const auto q = numbers(L * K, 0.3), k = numbers(L * K, 0.1), v = numbers(L * V, 1);
    const std::vector<float> beta(L, 0.05f);
    auto decay = numbers(L, 1e-4);
    for (float& x : decay) x = -std::abs(x);
    const own::logged_delta::inputs<float> in{.q = {q.data(), {1, L, 1, K}},
                                              .k = {k.data(), {1, L, 1, K}},
                                              .v = {v.data(), {1, L, 1, V}},
                                              .beta = {beta.data(), {1, L, 1}},
                                              .log_decay = {decay.data(), {1, L, 1, 1}},
                                              .initial_state = {},
                                              .sequence_offsets = {}};
    const auto out_of = [&](const auto& mode) {
      std::vector<float> out(L * V), held(1 << 20, -3.0f);  // what nobody set is found
      const auto scratch = std::as_writable_bytes(std::span(held));
      gatescan::forward(gatescan::cpu{.threads = 1}, mode, in,
                        {.out = view<float>(out.data(), {1, L, 1, V}), .final_state = {}},
                        {scratch});
      return out;
    };
    const auto want = out_of(gatescan::recurrent{});
    for (const int segments : {2, 4, 8}) {
      const auto got = out_of(gatescan::scan{segments});
      for (std::size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-5) << i;
    }
  }
}

}  // namespace
