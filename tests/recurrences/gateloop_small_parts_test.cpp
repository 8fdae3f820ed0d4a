// With real keys and gates that forget nearly all, the imaginary part of a state is tiny beside the
// real one. Every mode has to keep its digits: frames that turn with a state must not mix the two.

#include <gtest/gtest.h>

#include <cmath>
#include <gatescan/gatescan.hpp>
#include <vector>

#include "../support/generate.hpp"

namespace {

using gatescan::view;

constexpr std::int64_t L = 57, H = 2, K = 8, V = 16;

template <class T, class Mode>
std::vector<T> imaginary_state(const Mode& mode) {
  support::generator g(7);
  std::vector<T> q(L * H * K), k(q.size()), v(L * H * V), log_magnitude(q.size()), phase(q.size());
  for (auto* x : {&q, &k, &v, &phase})
    for (T& e : *x) e = static_cast<T>(static_cast<float>(g.uniform(-3, 3)));
  for (T& e : log_magnitude) e = static_cast<T>(static_cast<float>(g.uniform(-20, -10)));
  std::vector<T> re(H * K * V), im(re.size());
  gatescan::gateloop::inputs<T> in;
  in.q = view<const T>(q.data(), {1, L, H, K});
  in.k = view<const T>(k.data(), {1, L, H, K});
  in.v = view<const T>(v.data(), {1, L, H, V});
  in.log_magnitude = view<const T>(log_magnitude.data(), {1, L, H, K});
  in.phase = view<const T>(phase.data(), {1, L, H, K});
  gatescan::gateloop::outputs<T> out;
  out.final_state =
      gatescan::complex_view<T>(view<T>(re.data(), {1, H, K, V}), view<T>(im.data(), {1, H, K, V}));
  gatescan::forward(gatescan::cpu{1}, mode, in, out);
  return im;
}

template <class Mode>
void expect_digits(const Mode& mode) {
  const auto want = imaginary_state<double>(gatescan::recurrent{});
  const auto got = imaginary_state<float>(mode);
  double error = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double d = static_cast<double>(got[i]) - want[i];
    error += d * d, size += want[i] * want[i];
  }
  EXPECT_LE(std::sqrt(error / size), 2e-6);
}

TEST(gateloop, small_imaginary_parts_of_states_keep_their_digits) {
  expect_digits(gatescan::recurrent{});
  expect_digits(gatescan::scan{});
  expect_digits(gatescan::chunked{});
  expect_digits(gatescan::chunked{7});
  expect_digits(gatescan::chunked{64});
  expect_digits(gatescan::attention{});
}

}  // namespace
