#include "optimizer.hpp"

#include <algorithm>
#include <cmath>

namespace char_lm {

double clip(flat& gradient, double most) {
  // In parts, since a float sum over a million squares would lose digits.
  double square = 0;
  for (index i = 0; i < gradient.size(); i += 4096)
    square += static_cast<double>(
        gradient.segment(i, std::min<index>(4096, gradient.size() - i)).squaredNorm());
  const double norm = std::sqrt(square);
  if (norm > most) gradient *= static_cast<float>(most / norm);
  return norm;
}

void adamw(flat& theta, moments& m, const flat& gradient, const flat& decays, std::int64_t step,
           double rate, index begin, index count) {
  constexpr double beta_1 = 0.9, beta_2 = 0.98, epsilon = 1e-8, weight_decay = 0.1;
  const auto t = static_cast<double>(step);
  const auto step_size = static_cast<float>(rate / (1 - std::pow(beta_1, t)));
  const auto unbias = static_cast<float>(1 / std::sqrt(1 - std::pow(beta_2, t)));
  const auto g = gradient.segment(begin, count).array();
  auto first = m.first.segment(begin, count).array();
  auto second = m.second.segment(begin, count).array();
  auto w = theta.segment(begin, count).array();
  first += static_cast<float>(1 - beta_1) * (g - first);
  second += static_cast<float>(1 - beta_2) * (g.square() - second);
  w -= static_cast<float>(rate * weight_decay) * decays.segment(begin, count).array() * w +
       step_size * first / (second.sqrt() * unbias + static_cast<float>(epsilon));
}

double schedule(std::int64_t step, std::int64_t total) {
  const double warm_up = std::clamp(static_cast<double>(total) / 20, 1.0, 100.0);
  const double s = static_cast<double>(step) + 1;
  if (s < warm_up) return s / warm_up;
  const double rest = std::max(1.0, static_cast<double>(total) - warm_up);
  return 0.02 +
         0.98 * 0.5 * (1 + std::cos(3.141592653589793 * std::min(1.0, (s - warm_up) / rest)));
}

}  // namespace char_lm
