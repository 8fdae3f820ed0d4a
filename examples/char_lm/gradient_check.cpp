#include "gradient_check.hpp"

#include <cmath>
#include <cstdio>
#include <vector>

#include "model.hpp"

namespace char_lm {
namespace {

// Along random directions, where the sum over many weights drowns float rounding: the largest
// |slope - difference quotient| / |gradient|.
double worst_error(const std::string& recurrence, const execution& how) {
  constexpr index batch = 2, time = 11;
  blueprint b(7);
  model m(b, {recurrence, 8, 2, 2});
  m.plan({batch, time}, how);
  splitmix random(8);
  flat theta = b.values();
  for (index i = 0; i < theta.size(); ++i) theta[i] += 0.1f * random.normal();
  std::vector<std::uint8_t> inputs, targets;
  for (index i = 0; i < batch * time; ++i) {
    inputs.push_back(static_cast<std::uint8_t>(random.below(8)));
    targets.push_back(static_cast<std::uint8_t>(random.below(256)));
  }
  const auto loss = [&](const flat& weights) {
    m.forward(weights, inputs);
    return m.loss(targets);
  };
  flat grad = flat::Zero(theta.size());
  loss(theta);
  m.backward(theta, grad, 1);

  double worst = 0;
  for (int trial = 0; trial < 30; ++trial) {
    flat direction(theta.size());
    // Half of them shake every weight, the others a few, so that no layer can hide.
    const index every = trial % 2 == 0 ? 1 : 37 + trial;
    for (index i = 0; i < theta.size(); ++i)
      direction[i] = i % every == trial % every ? random.normal() : 0;
    direction.normalize();
    const float h = 0.02f;
    const double quotient = [&] {  // fourth order
      const double near = loss(theta + h * direction) - loss(theta - h * direction);
      const double far = loss(theta + 2 * h * direction) - loss(theta - 2 * h * direction);
      return (8 * near - far) / (12 * static_cast<double>(h));
    }();
    const auto slope = static_cast<double>(grad.dot(direction));
    const auto along = static_cast<double>(
        (grad.array() * (direction.array() != 0).cast<float>()).matrix().norm());
    const double error = std::abs(slope - quotient) / along;
    if (!(error <= worst)) worst = error;  // a NaN stays, and is found
  }
  return worst;
}

}  // namespace

bool check_gradients(device_calls::device* device) {
  constexpr double allowed = 5e-4;
  bool good = true;
  for (const std::string& recurrence : recurrence_names)
    for (const std::string& mode : mode_names) {
      const double error = worst_error(recurrence, {mode, 4, 1, device});
      std::printf("%-15s %-10s relative error of the gradient %.1e  %s\n", recurrence.c_str(),
                  mode.c_str(), error, error < allowed ? "ok" : "WRONG");
      good = good && error < allowed;
    }
  return good;
}

}  // namespace char_lm
