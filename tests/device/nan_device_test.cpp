// N3, N7 on matrix states: the fast forms find what is not finite and leave everything else alone,
// bit for bit. The whole of tests/properties/nan_and_resets_test.cpp takes the emulation minutes.
#include <limits>

#include "device_formats.hpp"
//
#include "../grid/check.hpp"

namespace {

using namespace support;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr sizes n{1, 41, 2, 3, 2};
constexpr int64 where = 21, head = 1;

const std::vector<mode> modes{{mode::recurrent, 0},
                              {mode::scan, 3},
                              {mode::chunked, 0},
                              {mode::chunked, 7},
                              {mode::attention, 0}};

// one gate a head: programs of their own
struct gla_of_head_gates : grid::cell<gla, gatescan::bf16> {
  static constexpr const char* switched_on = "head_gate";
};
template <class Cell>
options options_of() {
  options c;
  if constexpr (requires { Cell::switched_on; }) c.switches[Cell::switched_on] = true;
  return c;
}

template <class Cell>
class nan_device : public ::testing::Test {};
using recurrences = ::testing::Types<grid::cell<gla, float>, grid::cell<gateloop, float>,
                                     grid::cell<gla, gatescan::bf16>, gla_of_head_gates,
                                     grid::cell<gated_delta_net, float>, grid::cell<mlstm, float>>;
TYPED_TEST_SUITE(nan_device, recurrences);

// numbers of a token and head
template <class T>
int64 row_of(const tensor<T>& x) {
  return x.shape.size() > 3 ? x.extent(3) : 1;
}
template <class T>
void poke(tensor<T>& x, double value) {
  x.data[static_cast<std::size_t>((where * n.H + head) * row_of(x))] = value;
}
// numbers [1, L, H, ...] are the same but where changed(t) in the head
template <class T, class F>
bool same_elsewhere(const tensor<T>& x, const tensor<T>& y, F changed) {
  const int64 row = row_of(x);
  for (int64 t = 0; t < n.L; ++t)
    for (int64 h = 0; h < n.H; ++h) {
      const auto at = static_cast<std::size_t>((t * n.H + h) * row);
      if (h == head && changed(t)) continue;
      if (std::memcmp(&x.data[at], &y.data[at], static_cast<std::size_t>(row) * sizeof(T)) != 0)
        return false;
    }
  return true;
}

TYPED_TEST(nan_device, N7_not_finite_goes_forward_only) {
  using O = typename TypeParam::oracle;
  using T = typename TypeParam::scalar;
  const auto clean = rounded<O, T>(problem<O>(n, options_of<TypeParam>(), 41));
  for (const mode& m : modes) {
    const auto want = run_forward<O, T>(m, clean);
    for (const std::string target : {"q", "k", "v", "log_decay", "log_magnitude"})
      for (const double bad : {nan, inf}) {
        SCOPED_TRACE(::testing::Message() << m << " " << bad << " in " << target);
        auto dirty = clean;
        O::operands(
            [&](const char* name, auto& x) {
              if (target == name) poke(x, bad);
            },
            dirty);
        const auto got = run_forward<O, T>(m, dirty);
        EXPECT_TRUE(same_elsewhere(got.out, want.out, [](int64 t) { return t >= where; }));
      }
  }
}

TYPED_TEST(nan_device, N7_gradients_go_backward_only) {
  using O = typename TypeParam::oracle;
  using T = typename TypeParam::scalar;
  const auto clean = rounded<O, T>(problem<O>(n, options_of<TypeParam>(), 42));
  const auto d = rounded_results<O, T>(random_gradients<O>(O::forward(clean), 43));
  for (const mode& m : modes) {
    SCOPED_TRACE(m);
    auto dirty = d;
    poke(dirty.out, nan);
    const auto want = run_backward<O, T>(m, clean, d), got = run_backward<O, T>(m, clean, dirty);
    O::operands(
        [&](const char* name, auto& g, auto& w) {
          if (!g.given() || std::string(name) == "initial_state") return;
          EXPECT_TRUE(same_elsewhere(g, w, [](int64 t) { return t <= where; }))
              << "gradient of " << name;
        },
        got, want);
  }
}

// N3: what was Inf or NaN before a reset of all gates is forgotten
TYPED_TEST(nan_device, N3_resets_forget) {
  using O = typename TypeParam::oracle;
  using T = typename TypeParam::scalar;
  auto in = problem<O>(n, options_of<TypeParam>(), 44);
  O::operands(
      [](const char* name, auto& x) {
        const std::string gate = name;
        if (gate != "log_decay" && gate != "log_magnitude" && gate != "f") return;
        const auto reset = static_cast<std::size_t>((where + 1) * n.H * row_of(x));
        for (std::size_t i = 0; i < static_cast<std::size_t>(n.H * row_of(x)); ++i)
          x.data[reset + i] = -inf;
      },
      in);
  in = rounded<O, T>(in);
  const auto d = rounded_results<O, T>(random_gradients<O>(O::forward(in), 45));
  for (const mode& m : modes)
    for (const double bad : {nan, inf, 3e38}) {
      SCOPED_TRACE(::testing::Message() << m << " " << bad);
      auto dirty = in;
      poke(dirty.k, bad);
      poke(dirty.v, bad);
      const auto want = run_forward<O, T>(m, in), got = run_forward<O, T>(m, dirty);
      const auto want_d = run_backward<O, T>(m, in, d), got_d = run_backward<O, T>(m, dirty, d);
      const auto near = [](const auto& x, const auto& y) {  // after the reset
        double error = 0, size = 0;
        const auto from = static_cast<std::size_t>((where + 1) * n.H * row_of(x));
        for (std::size_t i = from; i < x.data.size(); ++i) {
          error += square(x.data[i] - y.data[i]);
          size += square(y.data[i]);
        }
        return std::sqrt(error) <= tolerance_of<T>().gradient * std::sqrt(size);
      };
      EXPECT_TRUE(near(got.out, want.out));
      EXPECT_LE(rms(difference(got.final_state, want.final_state)), 1e-5 * rms(want.final_state));
      O::operands(
          [&](const char* name, auto& g, auto& w) {
            if (!g.given() || std::string(name) == "initial_state") return;
            EXPECT_TRUE(near(g, w)) << "gradient of " << name;
          },
          got_d, want_d);
    }
}

}  // namespace
