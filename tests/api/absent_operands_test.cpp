// An optional operand that did not come reads as 0, whoever asks for it without asking whether it
// came: in rows of values that a whole register takes, too.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <vector>

namespace {

using namespace gatescan;

// S_t = e^(f_t) S_{t-1} + (k_t + more_t) (v_t + w_t)^T,   out_t = S_t^T q_t + s_t
struct matrix : matrix_state<matrix> {
  static constexpr const char* name = "matrix";
  static constexpr recurrence_form form{.gate = gate_span::key};

  template <class V>
  struct fields {
    using recurrence = matrix;
    using format = format_of<V>;
    real_field<V> q{}, k{}, v{}, f{}, more{}, w{}, s{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& call, auto&&... s) {
    using enum axis;
    using enum presence;
    call("q", axes{batch, time, head, key}, required, s.q...);
    call("k", axes{batch, time, head, key}, required, s.k...);
    call("v", axes{batch, time, head, value}, required, s.v...);
    call("f", axes{batch, time, head, key}, required, s.f...);
    call("more", axes{batch, time, head, key}, optional, s.more...);
    call("w", axes{batch, time, head, value}, optional, s.w...);
    call("s", axes{batch, time, head, value}, optional, s.s...);
  }
  GATESCAN_MEMBER auto keys(const auto& x, const auto& at) {
    return keys_of<decltype(at(x.q))>{at(x.q), at(x.k) + at(x.more), gatescan::exp(at(x.f))};
  }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.v))>{at(x.v) + at(x.w)};
  }
  GATESCAN_MEMBER auto output(const auto& x, const auto& at, const auto&, auto o) {
    return o + at(x.s);
  }
};

// h_t = a_t h_{t-1} + x_t,   out_t = h_t + s_t
struct channels : channel_state<channels> {
  static constexpr const char* name = "channels";
  static constexpr recurrence_form form{.gate = gate_span::entry};
  static constexpr bool unit_keys = true;

  template <class V>
  struct fields {
    using recurrence = channels;
    using format = format_of<V>;
    real_field<V> a{}, x{}, s{};
    real_state_field<V> initial_state{};
    offsets_field<V> sequence_offsets{};
  };
  GATESCAN_LIST operands(auto&& call, auto&&... s) {
    using enum axis;
    using enum presence;
    call("a", axes{batch, time, head, value}, required, s.a...);
    call("x", axes{batch, time, head, value}, required, s.x...);
    call("s", axes{batch, time, head, value}, optional, s.s...);
  }
  GATESCAN_MEMBER auto values(const auto& x, const auto& at) {
    return value_of<decltype(at(x.x))>{at(x.x)};
  }
  GATESCAN_MEMBER auto gate(const auto& x, const auto& at, const auto&) { return at(x.a); }
  GATESCAN_MEMBER auto output(const auto& x, const auto& at, const auto&, auto o) {
    return o + at(x.s);
  }
};

constexpr index_t B = 2, L = 21, H = 2, K = 35, V = 67;
using numbers = std::vector<float>;

view<float> rows(numbers& x, index_t n) { return {x.data(), {B, L, H, n}}; }
numbers some(index_t n, float x) { return numbers(static_cast<std::size_t>(B * L * H * n), x); }

template <class In>
void expect_like_zeros(const In& absent, const In& zeros) {
  const auto in_mode = [&](const auto& mode) {
    numbers got = some(V, 7), want = got;
    gatescan::forward(cpu{}, mode, absent, {.out = rows(got, V)});
    gatescan::forward(cpu{}, mode, zeros, {.out = rows(want, V)});
    EXPECT_EQ(got, want) << mode.name;
  };
  in_mode(recurrent{});
  in_mode(scan{2});
  in_mode(chunked{8});
  in_mode(attention{});
}
template <class R, class In, class View>
void expect_step_like_zeros(const In& absent, const In& zeros, const View& state,
                            std::vector<float>& numbers_of_state) {
  const auto now = [](const auto& from) {
    In token = from;
    R::operands(
        [](const char*, const axes&, presence, auto& x) {
          if (x.given()) x = {x.data, {B, H, x.shape[3]}};
        },
        token);
    return token;
  };
  numbers got(static_cast<std::size_t>(B * H * V), 7), want = got;
  gatescan::step(cpu{}, now(absent), state, view<float>{got.data(), {B, H, V}});
  std::fill(numbers_of_state.begin(), numbers_of_state.end(), 0.0f);
  gatescan::step(cpu{}, now(zeros), state, view<float>{want.data(), {B, H, V}});
  EXPECT_EQ(got, want);
}

TEST(absent_operands, of_a_matrix_state_read_as_0) {
  numbers k = some(K, 0.25f), f = some(K, -0.5f), v = some(V, 0.5f);
  numbers zero_k = some(K, 0), zero_v = some(V, 0);
  matrix::inputs<float> absent{.q = rows(k, K), .k = rows(k, K), .v = rows(v, V), .f = rows(f, K)};
  auto zeros = absent;
  zeros.more = rows(zero_k, K), zeros.w = rows(zero_v, V), zeros.s = rows(zero_v, V);
  expect_like_zeros(absent, zeros);
  numbers state(static_cast<std::size_t>(B * H * K * V), 0);
  expect_step_like_zeros<matrix>(absent, zeros, view<float>{state.data(), {B, H, K, V}}, state);
}
TEST(absent_operands, of_channels_read_as_0) {
  numbers a = some(V, 0.5f), x = some(V, 0.75f), zero = some(V, 0);
  channels::inputs<float> absent{.a = rows(a, V), .x = rows(x, V)};
  auto zeros = absent;
  zeros.s = rows(zero, V);
  expect_like_zeros(absent, zeros);
  numbers state(static_cast<std::size_t>(B * H * V), 0);
  expect_step_like_zeros<channels>(absent, zeros, view<float>{state.data(), {B, H, V}}, state);
}

}  // namespace
