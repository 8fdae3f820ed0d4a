// From a view to an operand: strides by the meaning of an axis, 0 where it has none or one element,
// grouped heads, channels as head x value, and sentences for what does not fit.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <string>
#include <vector>

namespace {

using namespace gatescan;
using enum gatescan::axis;

constexpr sizes n{.sequences = 2, .batch = 2, .time = 5, .heads = 6, .keys = 3, .values = 4};
constexpr axes keys_of_tokens{batch, time, head, key};

template <class T>
operand<T> bound(const view<T>& x, const axes& a, bool exact_heads = false) {
  return detail::bind("x", x, a, n, exact_heads);
}
template <class View>
std::string refusal(const View& x, const axes& a, bool exact_heads = false) {
  try {
    detail::bind("x", x, a, n, exact_heads);
  } catch (const shape_error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(operand, what_is_not_given_stays_so) {
  EXPECT_FALSE(bound(view<float>(), keys_of_tokens).given);
}

TEST(operand, strides_go_by_meaning_and_not_by_place) {
  std::vector<float> memory(2 * 5 * 6 * 3);
  const auto o = bound(view<float>(memory.data(), {2, 5, 6, 3}), keys_of_tokens);
  EXPECT_TRUE(o.given && !o.complex && o.im == nullptr);
  EXPECT_EQ(o.batch, 5 * 6 * 3);
  EXPECT_EQ(o.time, 6 * 3);
  EXPECT_EQ(o.head, 3);
  EXPECT_EQ(o.key, 1);
  EXPECT_EQ(o.value, 0);
  constexpr axes heads_first{batch, head, time, key};
  const auto p = bound(view<float>(memory.data(), {2, 6, 5, 3}), heads_first);
  EXPECT_EQ(p.head, 5 * 3);
  EXPECT_EQ(p.time, 3);
  EXPECT_EQ(p.offset(1, 2, 4), 1 * 90 + 4 * 15 + 2 * 3);
}

TEST(operand, of_head_begins_at_the_head_and_the_first_value) {
  std::vector<float> memory(2 * 5 * 6 * 4);
  constexpr axes values_of_tokens{batch, time, head, value};
  const auto o = bound(view<float>(memory.data(), {2, 5, 6, 4}), values_of_tokens);
  EXPECT_EQ(o.of_head(1, 3, 2).re, memory.data() + 5 * 24 + 3 * 4 + 2);
}

TEST(operand, heads_of_a_group_read_the_same_head) {
  std::vector<float> memory(2 * 5 * 2 * 3);
  const auto o = bound(view<float>(memory.data(), {2, 5, 2, 3}), keys_of_tokens);
  EXPECT_EQ(o.heads_a_group, 3);
  for (index_t h = 0; h < 6; ++h) EXPECT_EQ(o.offset(0, 0, h), h / 3 * 3);
}

// an axis of one element has no stride, whatever the view says
TEST(operand, one_head_for_all_has_no_stride) {
  std::vector<float> memory(2 * 5 * 3);
  const auto o = bound(view<float>(memory.data(), {2, 5, 1, 3}, {15, 3, 999, 1}), keys_of_tokens);
  EXPECT_EQ(o.head, 0);
  EXPECT_EQ(o.heads_a_group, 6);
}

// M4: nothing lies there
TEST(operand, places_are_counted_in_64_bits) {
  float first = 0;
  const index_t far = index_t{1} << 33;
  const auto o = bound(view<float>(&first, {2, 5, 6, 3}, {far, -far, 3 * far, 1}), keys_of_tokens);
  EXPECT_EQ(o.offset(1, 4, 5), far - 4 * far + 5 * 3 * far);
}

TEST(operand, one_key_where_there_might_be_all) {
  std::vector<float> memory(2 * 5 * 6 * 3);
  constexpr axes gates{batch, time, head, key_or_one};
  const auto one = bound(view<float>(memory.data(), {2, 5, 6, 1}), gates);
  EXPECT_TRUE(one.one_key);
  EXPECT_EQ(one.key, 0);
  const auto all = bound(view<float>(memory.data(), {2, 5, 6, 3}), gates);
  EXPECT_FALSE(all.one_key);
  EXPECT_EQ(all.key, 1);
}

TEST(operand, channels_are_head_times_value) {
  std::vector<float> memory(2 * 5 * 24);
  constexpr axes channels{batch, time, channel};
  const auto o = bound(view<float>(memory.data(), {2, 5, 24}), channels);
  EXPECT_EQ(o.value, 1);
  EXPECT_EQ(o.head, 4);
  const auto apart = bound(view<float>(memory.data(), {2, 5, 24}, {240, 48, 2}), channels);
  EXPECT_EQ(apart.value, 2);
  EXPECT_EQ(apart.head, 8);
}

TEST(operand, one_group_needs_no_axis) {
  std::vector<float> memory(2 * 5 * 3 * 3);
  constexpr axes groups{batch, time, group, key};
  EXPECT_EQ(bound(view<float>(memory.data(), {2, 5, 3, 3}), groups).heads_a_group, 2);
  const auto one = bound(view<float>(memory.data(), {2, 5, 3}), groups);
  EXPECT_EQ(one.head, 0);
  EXPECT_EQ(one.time, 3);
}

TEST(operand, complex_views_keep_both_planes) {
  std::vector<float> re(2 * 5 * 6 * 3), im(re.size());
  const layout where{2, 5, 6, 3};
  const complex_view<float> both(view<float>(re.data(), where), view<float>(im.data(), where));
  const auto o = detail::bind("x", both, keys_of_tokens, n, false);
  EXPECT_TRUE(o.complex);
  EXPECT_EQ(o.re, re.data());
  EXPECT_EQ(o.im, im.data());
  const complex_view<float> real{view<float>(re.data(), where)};
  EXPECT_FALSE(detail::bind("x", real, keys_of_tokens, n, false).complex);
  const complex_view<float> unlike(view<float>(re.data(), where),
                                   view<float>(im.data(), {2, 5, 6, 3}, {90, 18, 3, 2}));
  EXPECT_EQ(refusal(unlike, keys_of_tokens),
            "x: expected real and imaginary planes of equal shape and strides");
}

TEST(operand, strides_of_another_length_and_no_memory_are_refused) {
  std::vector<float> memory(2 * 5 * 6 * 3);
  const std::string expected = "x: expected [batch, time, heads, keys] = [2, 5, 6, 3]";
  EXPECT_EQ(refusal(view<float>(memory.data(), {2, 5, 6, 3}, {90, 18, 3}), keys_of_tokens),
            expected + " with a stride an axis, got [2, 5, 6, 3] from lists of another length");
  EXPECT_EQ(refusal(view<float>(nullptr, {2, 5, 6, 3}), keys_of_tokens),
            "x: expected memory for its elements, got [2, 5, 6, 3] at a null pointer");
}

TEST(operand, refusals_say_what_was_expected_and_what_came) {
  std::vector<float> memory(2 * 5 * 6 * 3);
  float* const p = memory.data();
  const std::string expected = "x: expected [batch, time, heads, keys] = [2, 5, 6, 3]";
  const std::string divisor = " (heads may be a divisor)";
  EXPECT_EQ(refusal(view<float>(p, {2, 5, 3}), keys_of_tokens),
            "x: expected 4 axes, [batch, time, heads, keys], got [2, 5, 3]");
  EXPECT_EQ(refusal(view<float>(p, {2, 4, 6, 3}), keys_of_tokens),
            expected + divisor + ", got [2, 4, 6, 3]");
  EXPECT_EQ(refusal(view<float>(p, {2, 5, 4, 3}), keys_of_tokens),
            expected + divisor + ", got [2, 5, 4, 3]");
  EXPECT_EQ(refusal(view<float>(p, {2, 5, 2, 3}), keys_of_tokens, true),
            expected + ", got [2, 5, 2, 3]");
  EXPECT_EQ(refusal(view<float>(p, {2, 5, 6, 1}), keys_of_tokens),
            expected + divisor + ", got [2, 5, 6, 1]");
}

}  // namespace
