// automatic is one of the modes, says which, and its choice depends on the shape alone.
#include <gtest/gtest.h>

#include "../support/compare.hpp"
#include "../support/slices.hpp"

namespace {

using namespace support;

mode mode_named(const std::string& name) {
  if (name.find("scan") != std::string::npos) return {mode::scan, 0};
  if (name.find("chunked") != std::string::npos) return {mode::chunked, 0};
  if (name.find("attention") != std::string::npos) return {mode::attention, 0};
  EXPECT_NE(name.find("recurrent"), std::string::npos) << name;
  return {mode::recurrent, 0};
}

template <class O>
class automatic : public ::testing::Test {};
using recurrences = every_case<::testing::Types>;
TYPED_TEST_SUITE(automatic, recurrences);

TYPED_TEST(automatic, is_the_mode_that_describe_names) {
  using O = TypeParam;
  for (const sizes& n : {sizes{2, 3, 2, 3, 2}, sizes{2, 80, 3, 5, 4}, sizes{1, 5000, 1, 2, 2}}) {
    const auto in = rounded<O, float>(problem<O>(n, {}, 190));
    prepared<O, float> p(in, {});
    const auto said = gatescan::describe(gatescan::cpu{.threads = 1}, gatescan::automatic{}, p.lib);
    EXPECT_FALSE(said.reason.empty());
    const auto want = run_forward<O, float>(mode_named(said.mode), in);
    for (const int threads : {1, 2, 7}) {
      const gatescan::cpu backend{.threads = threads};
      EXPECT_EQ(gatescan::describe(backend, gatescan::automatic{}, p.lib).mode, said.mode);
      constexpr bool complex_out = requires { want.out.data[0].re; };
      auto out = room<float>(want.out, complex_out, {});
      typename recurrence_of<O>::template outputs<float> lib;
      lib.out = out;
      gatescan::forward(backend, gatescan::automatic{}, p.lib, lib);
      auto got = want.out;
      out.read(got);
      EXPECT_TRUE(same_bits(got, want.out)) << n << " " << said.mode << " threads " << threads;
    }
  }
}

TEST(automatic, takes_chunks_where_a_state_is_worth_them) {
  const auto mode_for = [](const sizes& n) {
    prepared<gla, float> p(problem<gla>(n, {}, 192), {});
    return gatescan::describe(gatescan::cpu{}, gatescan::automatic{}, p.lib).mode;
  };
  EXPECT_EQ(mode_for({1, 80, 2, 4, 4}), "recurrent");
  EXPECT_EQ(mode_for({1, 80, 2, 128, 128}), "chunked");
  EXPECT_EQ(mode_for({1, 8, 2, 128, 128}), "recurrent");
}

TEST(describe, names_the_mode_that_was_asked_for) {
  prepared<gla, float> p(problem<gla>({2, 80, 3, 5, 4}, {}, 191), {});
  for (const mode& m : {mode{mode::recurrent, 0}, mode{mode::scan, 0}, mode{mode::chunked, 32},
                        mode{mode::attention, 0}})
    with_mode<gla>(m, [&](auto chosen) {
      const auto said = gatescan::describe(gatescan::cpu{}, chosen, p.lib);
      EXPECT_EQ(mode_named(said.mode).kind, m.kind) << said.mode;
      EXPECT_FALSE(said.reason.empty());
    });
}

}  // namespace
