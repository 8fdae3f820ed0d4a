#include "streaming.hpp"

#include <algorithm>
#include <chrono>

namespace char_lm {
namespace {

std::uint8_t draw(const matrix& logits, double temperature, splitmix& random) {
  index likeliest = 0;
  const float largest = logits.row(0).maxCoeff(&likeliest);
  if (temperature <= 0) return static_cast<std::uint8_t>(likeliest);
  const row_array weights =
      ((logits.row(0).array() - largest) / static_cast<float>(temperature)).exp();
  double left = random.uniform() * static_cast<double>(weights.sum());
  for (index i = 0; i < alphabet; ++i) {
    left -= static_cast<double>(weights[i]);
    if (left <= 0) return static_cast<std::uint8_t>(i);
  }
  return static_cast<std::uint8_t>(likeliest);
}

}  // namespace

generated generate(model& m, const flat& theta, const std::string& prompt, int count,
                   double temperature, std::uint64_t seed) {
  splitmix random(seed);
  generated g;
  const auto start = std::chrono::steady_clock::now();
  m.reset();
  const matrix* logits = &m.step(theta, '\n');
  for (char c : prompt) logits = &m.step(theta, static_cast<std::uint8_t>(c));
  for (int i = 0; i < count; ++i) {
    const std::uint8_t next = draw(*logits, temperature, random);
    g.text.push_back(static_cast<char>(next));
    logits = &m.step(theta, next);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  g.seconds_a_byte = took.count() / static_cast<double>(prompt.size() + g.text.size() + 1);
  return g;
}

agreement compare_with_steps(model& m, const flat& theta, bytes passage, const execution& how) {
  m.plan({1, static_cast<index>(passage.size())}, how);
  const matrix whole = m.forward(theta, passage);
  agreement a;
  m.reset();
  for (std::size_t t = 0; t < passage.size(); ++t) {
    const matrix& logits = m.step(theta, passage[t]);
    const auto row = whole.row(static_cast<index>(t));
    a.difference =
        std::max(a.difference, static_cast<double>((logits - row).cwiseAbs().maxCoeff()));
    a.largest = std::max(a.largest, static_cast<double>(row.cwiseAbs().maxCoeff()));
  }
  return a;
}

}  // namespace char_lm
