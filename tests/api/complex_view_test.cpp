// One complex recurrence, its operands and results handed over in every form that a complex_view
// takes: interleaved std::complex, two planes, real. The same numbers give the same bits.

#include <gtest/gtest.h>

#include <complex>

#include "dense_problem.hpp"

namespace {

using namespace support;
using gatescan::complex_view, gatescan::elementwise, gatescan::view;
using number = std::complex<float>;

constexpr int64 B = 2, L = 21, H = 2, D = 5, size = B * L * H * D;

struct signals {
  std::vector<number> a, x;
  signals() {
    generator g(5);
    for (int64 i = 0; i < size; ++i) {
      a.emplace_back(std::polar(static_cast<float>(g.uniform()), static_cast<float>(g.normal())));
      x.emplace_back(static_cast<float>(g.normal()), static_cast<float>(g.normal()));
    }
  }
};
struct split {
  std::vector<float> re, im;
  explicit split(const std::vector<number>& z) {
    for (const number& e : z) re.push_back(e.real()), im.push_back(e.imag());
  }
};

// h in plain loops, and with it what the library returned
void expect_recurrence(const signals& s, const std::vector<number>& out) {
  for (int64 b = 0; b < B; ++b)
    for (int64 c = 0; c < H * D; ++c) {
      std::complex<double> h = 0;
      for (int64 t = 0; t < L; ++t) {
        const auto i = static_cast<std::size_t>((b * L + t) * H * D + c);
        h = std::complex<double>(s.a[i]) * h + std::complex<double>(s.x[i]);
        ASSERT_LT(std::abs(std::complex<double>(out[i]) - h), 1e-5) << i;
      }
    }
}

template <class F>
void in_each_mode(F f) {
  f(gatescan::recurrent{});
  f(gatescan::scan{2});
  f(gatescan::chunked{8});
  f(gatescan::attention{});
}

TEST(complex_view, planes_and_interleaved_numbers_are_the_same) {
  const signals s;
  const split a(s.a), x(s.x);
  in_each_mode([&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    std::vector<number> out(size);
    const view<const number> interleaved_a(s.a.data(), {B, L, H, D});
    const view<const number> interleaved_x(s.x.data(), {B, L, H, D});
    const view<number> interleaved_out(out.data(), {B, L, H, D});
    gatescan::forward(gatescan::cpu{}, mode,
                      elementwise::inputs<float>{.a = interleaved_a, .x = interleaved_x},
                      {.out = interleaved_out});
    expect_recurrence(s, out);

    std::vector<float> re(size), im(size);
    const view<const float> a_re(a.re.data(), {B, L, H, D}), a_im(a.im.data(), {B, L, H, D});
    const view<const float> x_re(x.re.data(), {B, L, H, D}), x_im(x.im.data(), {B, L, H, D});
    const view<float> out_re(re.data(), {B, L, H, D}), out_im(im.data(), {B, L, H, D});
    gatescan::forward(gatescan::cpu{}, mode,
                      elementwise::inputs<float>{.a = {a_re, a_im}, .x = {x_re, x_im}},
                      {.out = {out_re, out_im}});
    const split want(out);
    EXPECT_EQ(re, want.re);
    EXPECT_EQ(im, want.im);

    // gradients too: d_out interleaved, d_x once in each form
    std::vector<number> d_x(size);
    std::vector<float> d_re(size), d_im(size);
    const auto backward = [&](const complex_view<float>& d) {
      gatescan::backward(gatescan::cpu{}, mode,
                         elementwise::inputs<float>{.a = interleaved_a, .x = {x_re, x_im}},
                         {.out = interleaved_x}, {.x = d});
    };
    backward(view<number>(d_x.data(), {B, L, H, D}));
    backward({view<float>(d_re.data(), {B, L, H, D}), view<float>(d_im.data(), {B, L, H, D})});
    EXPECT_EQ(d_re, split(d_x).re);
    EXPECT_EQ(d_im, split(d_x).im);
  });
}

// Braces make the view where an operand is written down. Interleaved numbers count twice.
TEST(complex_view, braces_make_a_view_of_real_or_complex_numbers) {
  number z[6] = {};
  float x[6] = {};
  const complex_view<const float> dense{{z, {2, 3}}}, strided{{z, {3, 2}, {1, 3}}},
      real{{x, {2, 3}}};
  const float* const first = reinterpret_cast<const float*>(z);
  EXPECT_EQ(dense.re, first);
  EXPECT_EQ(dense.im, first + 1);
  EXPECT_EQ(dense.stride[0], 6);
  EXPECT_EQ(dense.stride[1], 2);
  EXPECT_EQ(strided.stride[0], 2);
  EXPECT_EQ(strided.stride[1], 6);
  EXPECT_EQ(real.re, x);
  EXPECT_EQ(real.im, nullptr);
  // a const number is not written to, and planes have the format of their numbers
  static_assert(std::is_convertible_v<view<number>, complex_view<float>>);
  static_assert(!std::is_convertible_v<view<const number>, complex_view<float>>);
  static_assert(!std::is_convertible_v<view<number>, complex_view<double>>);
}

TEST(complex_view, strides_of_interleaved_numbers_count_them) {
  const signals s;
  std::vector<number> out(size), reversed(s.x.rbegin(), s.x.rend()), want(size);
  const view<const number> a(s.a.data(), {B, L, H, D}), x(s.x.data(), {B, L, H, D});
  gatescan::forward(gatescan::cpu{}, gatescan::recurrent{},
                    elementwise::inputs<float>{.a = a, .x = x},
                    {.out = view<number>(want.data(), {B, L, H, D})});
  const view<const number> backwards(&reversed.back(), {B, L, H, D}, {-L * H * D, -H * D, -D, -1});
  gatescan::forward(gatescan::cpu{}, gatescan::recurrent{},
                    elementwise::inputs<float>{.a = a, .x = backwards},
                    {.out = view<number>(out.data(), {B, L, H, D})});
  EXPECT_EQ(out, want);
}

TEST(complex_view, a_real_view_is_a_complex_one_without_imaginary_part) {
  const signals s;
  const split a(s.a);
  const std::vector<float> zero(size, 0.0f);
  in_each_mode([&](const auto& mode) {
    SCOPED_TRACE(mode.name);
    const view<const float> re(a.re.data(), {B, L, H, D}), im(zero.data(), {B, L, H, D});
    const view<const number> x(s.x.data(), {B, L, H, D});
    std::vector<number> mixed(size), planes(size);
    gatescan::forward(gatescan::cpu{}, mode, elementwise::inputs<float>{.a = re, .x = x},
                      {.out = view<number>(mixed.data(), {B, L, H, D})});
    gatescan::forward(gatescan::cpu{}, mode, elementwise::inputs<float>{.a = {re, im}, .x = x},
                      {.out = view<number>(planes.data(), {B, L, H, D})});
    EXPECT_EQ(mixed, planes);
  });
}

TEST(complex_view, planes_of_different_layout_are_refused) {
  const signals s;
  const split x(s.x);
  std::vector<number> out(size);
  const view<const float> re(x.re.data(), {B, L, H, D});
  const view<const number> a(s.a.data(), {B, L, H, D});
  for (const view<const float>& im :
       {view<const float>(x.im.data(), {B, L, D, H}), view<const float>(x.im.data(), {B, L * H, D}),
        view<const float>(x.im.data(), {B, L, H, D}, {L * H * D, H * D, D, 0})})
    EXPECT_NE(refusal([&] {
                gatescan::forward(gatescan::cpu{}, gatescan::scan{},
                                  elementwise::inputs<float>{.a = a, .x = {re, im}},
                                  {.out = view<number>(out.data(), {B, L, H, D})});
              }).find("x: expected real and imaginary planes of equal shape and strides"),
              std::string::npos);
  EXPECT_EQ(out, std::vector<number>(size));
}

// Real parts are not all of a complex operand's gradient; of a real operand's they are.
TEST(complex_view, real_gradients_of_complex_operands_are_refused) {
  using namespace gatescan;
  const signals s;
  const split x(s.x);
  const view<const number> a(s.a.data(), {B, L, H, D});
  const view<const float> real(x.re.data(), {B, L, H, D});
  const std::vector<number> state(B * H * D, number(1, 1));
  std::vector<float> d(size, 7.0f);
  const std::vector<float> untouched = d;
  const view<float> all(d.data(), {B, L, H, D}), of_state(d.data(), {B, H, D});
  const elementwise::output_gradients<float> d_out{.out = a};
  const auto sentence = [&](const elementwise::inputs<float>& in,
                            const elementwise::gradients<float>& gradients) {
    return refusal([&] { backward(cpu{}, recurrent{}, in, d_out, gradients); });
  };
  elementwise::inputs<float> in{.a = a, .x = real};
  EXPECT_NE(sentence(in, {.a = all})
                .find("gradient of a: expected a complex view (a is complex), got a real one"),
            std::string::npos);
  elementwise::gradients<float> by_state;
  by_state.initial_state = of_state;
  const std::string of_states =
      "gradient of initial_state: expected a complex view (initial_state is complex), got a real "
      "one";
  EXPECT_NE(sentence(in, by_state).find(of_states), std::string::npos);  // that of 0
  in.initial_state = view<const number>(state.data(), {B, H, D});
  EXPECT_NE(sentence(in, by_state).find(of_states), std::string::npos);
  EXPECT_EQ(d, untouched);
  EXPECT_NO_THROW(backward(cpu{}, recurrent{}, in, d_out, {.x = all}));
}

// A real problem's gradients have imaginary parts of 0 where there is room for any.
TEST(complex_view, gradients_of_a_real_problem_may_be_complex) {
  using namespace gatescan;
  const index_t tokens = 5, channels = 19;
  const std::vector<float> a(static_cast<std::size_t>(tokens * channels), 0.5f), x(a.size(), 1.0f);
  const elementwise::inputs<float> in{.a = view<const float>(a.data(), {1, tokens, 1, channels}),
                                      .x = view<const float>(x.data(), {1, tokens, 1, channels})};
  for (const bool by_turns : {false, true}) {
    std::vector<float> d(static_cast<std::size_t>(2 * channels), 7.0f);
    elementwise::gradients<float> gradients;
    gradients.initial_state =
        by_turns ? complex_view<float>(d.data(), d.data() + 1,
                                       layout({1, 1, channels}, {2 * channels, 2 * channels, 2}))
                 : complex_view<float>(d.data(), d.data() + channels, layout{1, 1, channels});
    backward(cpu{.threads = 1}, recurrent{}, in,
             {.out = view<const float>(x.data(), {1, tokens, 1, channels})}, gradients);
    for (std::size_t i = 0; i < channels; ++i) {
      EXPECT_FLOAT_EQ(d[by_turns ? 2 * i : i], 1 - 1 / 32.0f) << i;
      EXPECT_EQ(d[by_turns ? 2 * i + 1 : i + channels], 0.0f) << i;
    }
  }
}

}  // namespace
