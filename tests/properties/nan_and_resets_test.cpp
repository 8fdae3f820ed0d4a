// N3, N7: NaN and Inf go forward in their own head only, and not through a hard reset.
#include <gtest/gtest.h>

#include <limits>

#include "../support/compare.hpp"
#include "../support/problem.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();

const std::vector<mode> modes{{mode::recurrent, 0}, {mode::scan, 0},     {mode::chunked, 0},
                              {mode::chunked, 1},   {mode::chunked, 16}, {mode::chunked, 21},
                              {mode::attention, 0}};

template <class O>
class nan_and_resets : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(nan_and_resets, recurrences);

template <class O>
class resets : public ::testing::Test {};
TYPED_TEST_SUITE(resets, every_gated_case<::testing::Types>);

// a place in a [B, L, H, ...] operand; channels are heads of one value
struct place {
  int64 b, t, h;
};

template <class T>
void poke(tensor<T>& x, const place& p, double value) {
  const int64 row = x.shape.size() > 3 ? x.extent(3) : 1;
  x.data[static_cast<std::size_t>(((p.b * x.extent(1) + p.t) * x.extent(2) + p.h) * row)] = value;
}

// every element (b, t, h, ...) of x with changed(b, t, h) false is the same in y
template <class T, class F>
bool same_elsewhere(const tensor<T>& x, const tensor<T>& y, F changed) {
  const int64 L = x.extent(1), H = x.extent(2);
  const int64 row = x.size() / std::max<int64>(1, x.extent(0) * L * H);
  for (int64 b = 0; b < x.extent(0); ++b)
    for (int64 t = 0; t < L; ++t)
      for (int64 h = 0; h < H; ++h) {
        const auto at = static_cast<std::size_t>(((b * L + t) * H + h) * row);
        const auto n = static_cast<std::size_t>(row) * sizeof(T);
        if (!changed(b, t, h) && std::memcmp(&x.data[at], &y.data[at], n) != 0) return false;
      }
  return true;
}
// the same for operands and states [n, H, ...]
template <class T>
bool same_other_heads(const tensor<T>& x, const tensor<T>& y, int64 b, int64 h) {
  const int64 row = x.size() / (x.extent(0) * x.extent(1));
  for (int64 n = 0; n < x.extent(0); ++n)
    for (int64 i = 0; i < x.extent(1); ++i) {
      const auto at = static_cast<std::size_t>((n * x.extent(1) + i) * row);
      const auto bytes = static_cast<std::size_t>(row) * sizeof(T);
      if ((n != b || i != h) && std::memcmp(&x.data[at], &y.data[at], bytes) != 0) return false;
    }
  return true;
}

// one gate a key and, where a recurrence may have it, one a head
template <class O>
std::vector<options> gate_forms() {
  options a_head;
  turn<O>(a_head, {"head_gate"}, true);
  if (a_head.switches.empty()) return {options{}};
  return {options{}, a_head};
}

// N7: one NaN or Inf at (b, t, h) changes nothing before t, in another head, or in another row
template <class O>
void expect_causal_forward(const options& c) {
  const auto clean = rounded<O, float>(problem<O>({2, 70, 3, 3, 2}, c, 41));
  for (const mode& m : modes_of<O>(modes)) {
    const auto want = run_forward<O, float>(m, clean);
    for (const double bad : {nan, inf})
      for (const int64 t : {0, 5, 16, 37, 69}) {
        const place p{1, t, 1};
        std::vector<std::string> names;
        O::operands(
            [&](const char* name, auto& x) {
              if (x.given() && has_time<O>(name)) names.push_back(name);
            },
            clean);
        for (const std::string& target : names) {
          SCOPED_TRACE(::testing::Message() << m << " " << bad << " in " << target << " at " << t);
          auto dirty = clean;
          O::operands(
              [&](const char* name, auto& x) {
                if (target == name) poke(x, p, bad);
              },
              dirty);
          const auto got = run_forward<O, float>(m, dirty);
          EXPECT_TRUE(same_elsewhere(got.out, want.out, [&p](int64 b, int64 t2, int64 h) {
            return b == p.b && h == p.h && t2 >= p.t;
          }));
          EXPECT_TRUE(same_other_heads(got.final_state, want.final_state, p.b, p.h));
        }
        if (::testing::Test::HasFailure()) return;
      }
  }
}
TYPED_TEST(nan_and_resets, N7_nan_is_causal_forward) {
  for (const options& c : gate_forms<TypeParam>()) expect_causal_forward<TypeParam>(c);
}

// N7 backward: from an output gradient only to earlier tokens of its own head; from an operand only
// within its own head
template <class O>
void expect_causal_backward(const options& c) {
  const auto clean = rounded<O, float>(problem<O>({2, 70, 3, 3, 2}, c, 42));
  const auto dout = rounded_results<O, float>(random_gradients<O>(O::forward(clean), 43));
  for (const mode& m : modes_of<O>(modes)) {
    const auto want = run_backward<O, float>(m, clean, dout);
    for (const int64 t : {0, 5, 16, 37, 69}) {
      const place p{1, t, 1};
      const auto check = [&](const typename O::inputs& in, const typename O::outputs& d,
                             bool causal) {
        const auto got = run_backward<O, float>(m, in, d);
        O::operands(
            [&](const char* name, auto& g, auto& w) {
              if (!g.given()) return;
              const std::string n = name;
              if (has_time<O>(n)) {
                EXPECT_TRUE(same_elsewhere(g, w,
                                           [&](int64 b, int64 t2, int64 h) {
                                             return b == p.b && h == p.h && (!causal || t2 <= p.t);
                                           }))
                    << "gradient of " << n;
              } else if (n == "initial_state") {
                EXPECT_TRUE(same_other_heads(g, w, p.b, p.h)) << "gradient of " << n;
              } else {  // A, D, dt_bias: sums over time of one head or channel
                auto rest = g;
                const auto row = rest.size() / rest.extent(0);
                for (int64 i = 0; i < row; ++i) {
                  const auto at = static_cast<std::size_t>(p.h * row + i);
                  rest.data[at] = w.data[at];
                }
                EXPECT_TRUE(same_bits(rest, w)) << "gradient of " << n;
              }
            },
            got, want);
      };
      {
        SCOPED_TRACE(::testing::Message() << m << " NaN in the gradient of out at " << t);
        auto d = dout;
        poke(d.out, p, nan);
        check(clean, d, true);
      }
      std::vector<std::string> names;
      O::operands(
          [&](const char* name, auto& x) {
            if (x.given() && has_time<O>(name)) names.push_back(name);
          },
          clean);
      for (const std::string& target : names) {
        SCOPED_TRACE(::testing::Message() << m << " NaN in " << target << " at " << t);
        auto dirty = clean;
        O::operands(
            [&](const char* name, auto& x) {
              if (target == name) poke(x, p, nan);
            },
            dirty);
        check(dirty, dout, false);
      }
      if (::testing::Test::HasFailure()) return;
    }
  }
}
TYPED_TEST(nan_and_resets, N7_nan_is_causal_backward) {
  for (const options& c : gate_forms<TypeParam>()) expect_causal_backward<TypeParam>(c);
}

// make every gate of token t a hard reset
void reset_at(real_elementwise::inputs& in, int64 t) {
  for (int64 h = 0; h < in.a.extent(2); ++h)
    for (int64 d = 0; d < in.a.extent(3); ++d) in.a(0, t, h, d) = 0;
}
void reset_at(complex_elementwise::inputs& in, int64 t) {
  for (int64 h = 0; h < in.a.extent(2); ++h)
    for (int64 d = 0; d < in.a.extent(3); ++d) in.a(0, t, h, d) = 0;
}
void reset_at(gateloop::inputs& in, int64 t) {
  for (int64 h = 0; h < in.v.extent(2); ++h)
    for (int64 i = 0; i < in.q.extent(3); ++i) {
      if (in.a.given())
        in.a(0, t, h, i) = 0;
      else
        in.log_magnitude(0, t, h, i) = -inf;
    }
}
void reset_at(gla::inputs& in, int64 t) {
  for (int64 h = 0; h < in.v.extent(2); ++h)
    for (int64 i = 0; i < in.log_decay.extent(3); ++i) in.log_decay(0, t, h, i) = -inf;
}
void reset_at(rwkv6::inputs& in, int64 t) {
  for (int64 h = 0; h < in.w.extent(2); ++h)
    for (int64 i = 0; i < in.w.extent(3); ++i) in.w(0, t, h, i) = -inf;
}
void reset_at(rwkv7::inputs& in, int64 t) {
  for (int64 h = 0; h < in.w.extent(2); ++h)
    for (int64 i = 0; i < in.w.extent(3); ++i) in.w(0, t, h, i) = -inf;
}
void reset_at(gated_delta_net::inputs& in, int64 t) {
  for (int64 h = 0; h < in.log_decay.extent(2); ++h)
    for (int64 i = 0; i < in.log_decay.extent(3); ++i) in.log_decay(0, t, h, i) = -inf;
}
void reset_at(hgrn2::inputs& in, int64 t) {
  for (int64 h = 0; h < in.f.extent(2); ++h)
    for (int64 i = 0; i < in.f.extent(3); ++i) in.f(0, t, h, i) = -inf;
}
void reset_at(mlstm::inputs& in, int64 t) {
  for (int64 h = 0; h < in.f.extent(2); ++h) in.f(0, t, h) = -inf;
}
void reset_at(hgrn::inputs& in, int64 t) {
  for (int64 h = 0; h < in.log_decay.extent(2); ++h)
    for (int64 d = 0; d < in.log_decay.extent(3); ++d) in.log_decay(0, t, h, d) = -inf;
}
void reset_at(min_gru::inputs& in, int64 t) {
  for (int64 h = 0; h < in.z.extent(2); ++h)
    for (int64 d = 0; d < in.z.extent(3); ++d) in.z(0, t, h, d) = inf;
}
void reset_at(min_lstm::inputs& in, int64 t) {
  for (int64 h = 0; h < in.f.extent(2); ++h)
    for (int64 d = 0; d < in.f.extent(3); ++d) in.f(0, t, h, d) = -inf, in.i(0, t, h, d) = inf;
}
void reset_at(rg_lru::inputs& in, int64 t) {
  for (int64 h = 0; h < in.r.extent(2); ++h)
    for (int64 d = 0; d < in.r.extent(3); ++d) in.r(0, t, h, d) = inf;
}
// their gates are parameters of all tokens: reset everywhere
void reset_at(rwkv4::inputs& in, int64) {
  for (double& w : in.w.data) w = -inf;
}
void reset_at(selective_scan::inputs& in, int64) {
  for (double& a : in.A.data) a = -inf;
}
void reset_at(retention::inputs& in, int64) {
  for (double& g : in.log_decay.data) g = -inf;
}
void reset_at(mamba2::inputs& in, int64) {
  for (double& a : in.A.data) a = -inf;
}
// what enters the state at token t
void poison_at(real_elementwise::inputs& in, int64 t, double bad) { poke(in.x, {0, t, 0}, bad); }
void poison_at(complex_elementwise::inputs& in, int64 t, double bad) { poke(in.x, {0, t, 0}, bad); }
void poison_at(gateloop::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(gla::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(rwkv4::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(rwkv6::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(rwkv7::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(gated_delta_net::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(hgrn2::inputs& in, int64 t, double bad) { poke(in.i, {0, t, 1}, bad); }
void poison_at(retention::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(mlstm::inputs& in, int64 t, double bad) {
  poke(in.k, {0, t, 0}, bad);
  poke(in.v, {0, t, 1}, bad);
}
void poison_at(hgrn::inputs& in, int64 t, double bad) { poke(in.x, {0, t, 0}, bad); }
void poison_at(min_gru::inputs& in, int64 t, double bad) { poke(in.h, {0, t, 0}, bad); }
void poison_at(min_lstm::inputs& in, int64 t, double bad) { poke(in.h, {0, t, 0}, bad); }
void poison_at(rg_lru::inputs& in, int64 t, double bad) { poke(in.x, {0, t, 0}, bad); }
void poison_at(selective_scan::inputs& in, int64 t, double bad) {
  poke(in.B, {0, t, 0}, bad);
  poke(in.u, {0, t, 1}, bad);
}
void poison_at(mamba2::inputs& in, int64 t, double bad) {
  poke(in.B, {0, t, 0}, bad);
  poke(in.x, {0, t, 1}, bad);
}

// how many tokens from a reset on still read the state before it
template <class O>
constexpr int64 late_readers =
    case_of<O>::recurrence::form.reads == gatescan::readout::exclusive ? 1 : 0;

// With transition::low_rank a reset keeps what p reads before it, by definition.
template <class O>
constexpr bool resets_forget = case_of<O>::recurrence::form.moves != gatescan::transition::low_rank;

// N3: after a reset nothing of before is left, whatever it was; with exact numbers to the last bit
TYPED_TEST(resets, N3_resets_forget_nan_and_inf_forward) {
  using O = TypeParam;
  if (!resets_forget<O>) GTEST_SKIP() << "what is read before the gate outlives it";
  constexpr int64 L = 61;
  // rows of 16 values are whole registers
  const auto expect_forgotten = [&](int64 V, bool linear, double bad) {
    for (const int64 t : {1, 7, 16, 33, 48, 60})
      for (const int64 before : {t - 1, t / 2, int64{-1}}) {  // -1: the initial state is bad
        options c;
        turn<O>(c, {"linear_gate", "head_gate"}, linear);
        auto in = exact_problem<O>({1, L, 2, 3, V}, c, 50);
        reset_at(in, t);
        auto rest = slice_inputs<O>(in, t, L);
        rest.initial_state = {};
        const auto want = O::forward(rest);
        if (before >= 0)
          poison_at(in, before, bad);
        else
          for (auto& e : in.initial_state.data) e = bad;
        for (const mode& m : modes_of<O>(modes)) {
          SCOPED_TRACE(::testing::Message() << m << " " << bad << " at " << before << ", reset at "
                                            << t << " linear " << linear);
          const auto got = run_forward<O, float>(m, in);
          constexpr int64 late = late_readers<O>;
          EXPECT_TRUE(slice(got.out, t + late, L) == slice(want.out, late, L - t));
          EXPECT_TRUE(got.final_state == want.final_state);
          if (this->HasFailure()) return;
        }
      }
  };
  for (const int64 V : {2, 16})
    for (const bool linear : {false, true})
      for (const double bad : {nan, inf, -inf, 3e38}) expect_forgotten(V, linear, bad);
}

// N3 backward: a bad output gradient after a reset does not reach what came before it
TYPED_TEST(resets, N3_resets_forget_nan_and_inf_backward) {
  using O = TypeParam;
  if (!resets_forget<O>) GTEST_SKIP() << "what is read before the gate outlives it";
  constexpr int64 L = 61;
  for (const bool linear : {false, true})
    for (const double bad : {nan, inf})
      for (const int64 t : {1, 7, 16, 33, 48, 60})
        for (const int64 after : {t + late_readers<O>, (t + late_readers<O> + L) / 2,
                                  L}) {  // L: that of the final state is bad
          options c;
          turn<O>(c, {"linear_gate", "head_gate"}, linear);
          auto in = exact_problem<O>({1, L, 2, 3, 2}, c, 51);
          reset_at(in, t);
          auto dout = exact_gradients<O>(O::forward(in), 52);
          const auto want = as_returned<O>(in, O::backward(in, dout));
          if (after < L)
            poke(dout.out, {0, after, 1}, bad);
          else
            for (auto& e : dout.final_state.data) e = bad;
          for (const mode& m : modes_of<O>(modes)) {
            SCOPED_TRACE(::testing::Message() << m << " " << bad << " at " << after << ", reset at "
                                              << t << " linear " << linear);
            const auto got = run_backward<O, double>(m, in, dout);
            O::operands(
                [&](const char* name, auto& g, auto& w) {
                  const bool state = std::string(name) == "initial_state";
                  if (!state && !has_time<O>(name)) return;  // sums over all tokens
                  EXPECT_TRUE(state ? g == w : slice(g, 0, t) == slice(w, 0, t))
                      << "gradient of " << name;
                },
                got, want);
            if (this->HasFailure()) return;
          }
        }
}

}  // namespace
