// The model with its recurrences on an emulated device against the model on the host, and what
// copying operands there and back promises.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>

#include "device_calls/staged_call.hpp"
#include "device_calls/test/emulated_device.hpp"
#include "eigen.hpp"
#include "model.hpp"

namespace char_lm {
namespace {

device_calls::emulated_device make_device() {
  device_calls::emulated_device d;
  d.add_kernels<gatescan::gla, float>();
  d.add_kernels<gatescan::gateloop, float>();
  d.add_kernels<gatescan::selective_scan, float>();
  d.add_kernels<gatescan::mamba2, float>();
  d.add_kernels<gatescan::gated_delta_net, float>();
  d.add_kernels<gatescan::rwkv7, float>();
  d.add_kernels<gatescan::mlstm, float>();
  return d;
}

struct learnt {
  matrix logits;
  flat gradient;
};

std::vector<std::uint8_t> random_bytes(index count, std::uint64_t seed) {
  splitmix random(seed);
  std::vector<std::uint8_t> made;
  for (index i = 0; i < count; ++i) made.push_back(static_cast<std::uint8_t>(random.below(256)));
  return made;
}

learnt learn(model& m, const flat& theta, const extent& size) {
  learnt x;
  x.logits = m.forward(theta, random_bytes(size.tokens(), 1));
  m.loss(random_bytes(size.tokens(), 2));
  x.gradient.setZero(theta.size());
  m.backward(theta, x.gradient, 1);
  return x;
}

TEST(char_lm_on_a_device, learns_what_it_learns_on_the_host) {
  auto device = make_device();
  const extent size{2, 11};
  for (const std::string& recurrence : recurrence_names)
    for (const std::string& mode : mode_names) {
      SCOPED_TRACE(recurrence + " " + mode);
      blueprint b(7);
      model m(b, {recurrence, 8, 2, 2});
      m.plan(size, {mode, 4, 1, nullptr});
      const learnt want = learn(m, b.values(), size);
      m.plan(size, {mode, 4, 1, &device});
      const learnt got = learn(m, b.values(), size);
      EXPECT_LE((got.logits - want.logits).norm(), 1e-5f * want.logits.norm());
      EXPECT_LE((got.gradient - want.gradient).norm(), 1e-5f * want.gradient.norm());
    }
}

TEST(char_lm_on_a_device, allocates_in_the_first_step_only) {
  auto device = make_device();
  const extent size{2, 11};
  blueprint b(7);
  model m(b, {"selective_scan", 8, 2, 2});
  m.plan(size, {"chunked", 4, 1, &device});
  EXPECT_GT(device.allocated(), 0);  // scratch
  const learnt first = learn(m, b.values(), size);
  const std::int64_t allocated = device.allocated();
  const learnt second = learn(m, b.values(), size);
  EXPECT_EQ(device.allocated(), allocated);
  EXPECT_EQ(first.logits, second.logits);
  EXPECT_EQ(first.gradient, second.gradient);
}

TEST(char_lm_on_a_device, says_which_kernels_it_lacks) {
  device_calls::emulated_device none;
  blueprint b(7);
  model m(b, {"gla", 8, 1, 2});
  EXPECT_THROW(m.plan({1, 3}, {"scan", 0, 1, &none}), device_calls::device_error);
}

// Operands and results with gaps, a turned axis and a broadcast one.
TEST(staged_call, any_strides) {
  auto device = make_device();
  constexpr std::int64_t L = 5, H = 2, K = 3, V = 2, row = 2 * H * K;
  std::vector<float> q(L * row), k(L * H * K), v(L * H * V), decay{-0.25f, -0.5f};
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = 0.1f * static_cast<float>(i % 7);
  for (std::size_t i = 0; i < k.size(); ++i) k[i] = 0.2f * static_cast<float>(i % 5) - 0.3f;
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i % 3) - 1;
  const auto last = static_cast<std::size_t>((L - 1) * H * K);
  const gatescan::gla::inputs<float> in{
      .q = {q.data() + 1, {1, L, H, K}, {0, row, K, 1}},
      .k = {k.data() + last, {1, L, H, K}, {0, -H * K, K, 1}},  // from the last token to the first
      .v = {v.data(), {1, L, H, V}, {0, 1, L, H * L}},
      .log_decay = {decay.data(), {1, L, H, 1}, {0, 0, 1, 1}}};  // one gate for all tokens

  std::vector<float> want(L * H * V), got(3 * L * H * V, 7.0f);
  gatescan::forward(gatescan::cpu{}, gatescan::recurrent{}, in,
                    {.out = {want.data(), {1, L, H, V}}});

  device_calls::call like;
  like.mode = "recurrent";
  like.size = device_calls::flatten_problem(
      gatescan::gla::problem<float>{.batch = 1, .time = L, .heads = H, .keys = K, .values = V});
  device_calls::staged_call call(device, "gla", "F32", like);
  device_calls::flatten_inputs(in, call.host);
  const gatescan::gla::outputs<float> out{
      .out = {got.data(), {1, L, H, V}, {0, 3 * H * V, 3 * V, 3}}};
  device_calls::flatten_results<gatescan::gla>(out, call.host);
  call.run();
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (i % 3 == 0)
      EXPECT_NEAR(got[i], want[i / 3], 1e-6) << i;
    else
      EXPECT_EQ(got[i], 7.0f) << i;
  }

  call.host.out.stride[1] = 0;
  EXPECT_THROW(call.run(), device_calls::device_error);
}

}  // namespace
}  // namespace char_lm
