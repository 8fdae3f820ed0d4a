#include "trainer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "parallel.hpp"

namespace char_lm {
namespace {

constexpr int most_shards = 8;
constexpr double longest_gradient = 1.0;
constexpr index part = 1 << 15;  // weights that one job of the optimizer updates

}  // namespace

trainer::trainer(const run_options& run, const corpus& text, const execution& how)
    : run_(run),
      text_(text),
      threads_(how.threads),
      order_(text.train.size(), static_cast<std::size_t>(run.context) + 1,
             run.seed ^ 0x5deece66du) {
  blueprint plan(run.seed);
  const model initial(plan, run.shape());
  state_.theta = plan.values();
  state_.optimizer.first.setZero(state_.theta.size());
  state_.optimizer.second.setZero(state_.theta.size());
  state_.total = run.steps;
  state_.data = order_.where();
  decays_ = plan.decays();

  execution each = how;
  each.threads = 1;  // the shards are what runs in parallel
  const index count = std::min(run.batch, most_shards);
  for (index s = 0; s < count; ++s) {
    blueprint same_a(run.seed), same_b(run.seed);
    const index first = s * run.batch / count, end = (s + 1) * run.batch / count;
    shards_.push_back(std::make_unique<shard>(shard{.training = model(same_a, run.shape()),
                                                    .measuring = model(same_b, run.shape()),
                                                    .first = first,
                                                    .count = end - first,
                                                    .gradient = {},
                                                    .inputs = {},
                                                    .targets = {}}));
    shards_.back()->training.plan({end - first, run.context}, each);
    shards_.back()->measuring.plan({1, static_cast<index>(corpus::piece) - 1}, each);
  }
}

void trainer::restore(training_state s) {
  order_.go_to(s.data);
  state_ = std::move(s);
}

double trainer::step() {
  const auto context = static_cast<std::size_t>(run_.context);
  for (const auto& s : shards_) {
    s->inputs.clear(), s->targets.clear();
    for (index i = 0; i < s->count; ++i) {
      const bytes window = bytes(text_.train).subspan(order_.next(), context + 1);
      s->inputs.insert(s->inputs.end(), window.begin(), window.end() - 1);
      s->targets.insert(s->targets.end(), window.begin() + 1, window.end());
    }
  }
  const double tokens = static_cast<double>(run_.batch) * run_.context;
  parallel_for(threads_, static_cast<int>(shards_.size()), [&](int i) {
    shard& s = *shards_[static_cast<std::size_t>(i)];
    s.gradient.setZero(state_.theta.size());
    s.training.forward(state_.theta, s.inputs);
    s.loss = s.training.loss(s.targets);
    s.training.backward(state_.theta, s.gradient, static_cast<float>(1 / tokens));
  });

  const index size = state_.theta.size();
  const int parts = static_cast<int>((size + part - 1) / part);
  gradient_.resize(size);
  parallel_for(threads_, parts, [&](int i) {
    const index begin = i * part, count = std::min(part, size - begin);
    gradient_.segment(begin, count) = shards_[0]->gradient.segment(begin, count);
    for (std::size_t s = 1; s < shards_.size(); ++s)
      gradient_.segment(begin, count) += shards_[s]->gradient.segment(begin, count);
  });
  clip(gradient_, longest_gradient);
  const double rate = run_.lr * schedule(state_.step, state_.total);
  ++state_.step;
  parallel_for(threads_, parts, [&](int i) {
    const index begin = i * part, count = std::min(part, size - begin);
    adamw(state_.theta, state_.optimizer, gradient_, decays_, state_.step, rate, begin, count);
  });

  double loss = 0;
  for (const auto& s : shards_) loss += s->loss;
  loss /= tokens;
  state_.losses.push_back(static_cast<float>(loss));
  state_.data = order_.where();
  return loss;
}

double trainer::held_out_bits() {
  const std::size_t pieces = text_.pieces(), shards = shards_.size();
  std::vector<double> nats(pieces);
  parallel_for(threads_, static_cast<int>(shards), [&](int i) {
    model& m = shards_[static_cast<std::size_t>(i)]->measuring;
    for (std::size_t p = static_cast<std::size_t>(i); p < pieces; p += shards) {
      const bytes piece = text_.held_out_piece(p);
      m.forward(state_.theta, piece.first(corpus::piece - 1));
      nats[p] = m.loss(piece.last(corpus::piece - 1));
    }
  });
  double sum = 0;
  for (double n : nats) sum += n;
  return sum / std::numbers::ln2 / static_cast<double>(pieces * (corpus::piece - 1));
}

}  // namespace char_lm
