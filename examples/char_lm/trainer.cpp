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

trainer::trainer(const run_options& run, const corpus& text, const execution& how, const ranks* all)
    : run_(run),
      text_(text),
      all_(all),
      threads_(how.threads),
      shard_count_(std::min(run.batch, most_shards)),
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

  const int sharing = all != nullptr ? all->a_sequence() : 1;
  const int place = all != nullptr ? all->place() : 0;
  piece_begin_ = static_cast<index>(place) * run.context / sharing;
  piece_count_ = static_cast<index>(place + 1) * run.context / sharing - piece_begin_;
  execution alone = how;
  alone.threads = 1;  // the shards are what runs in parallel,
  execution each = alone;
  if (is_shared()) each.threads = how.threads, each.sequence = all;  // where ranks do not meet
  for (int s = 0; s < shard_count_; ++s) {
    if (!has(s)) continue;
    blueprint same_a(run.seed), same_b(run.seed);
    shards_.push_back(std::make_unique<shard>(shard{.training = model(same_a, run.shape()),
                                                    .measuring = model(same_b, run.shape()),
                                                    .number = s,
                                                    .gradient = {},
                                                    .inputs = {},
                                                    .targets = {}}));
    shards_.back()->training.plan({first_sequence(s + 1) - first_sequence(s), piece_count_}, each);
    shards_.back()->measuring.plan({1, static_cast<index>(corpus::piece) - 1}, alone);
  }
}

// The first ranks have one at least, so that a sum begins with the first one.
bool trainer::has(int number) const {
  if (all_ == nullptr) return true;
  const auto first_of = [&](int group) {
    return (group * shard_count_ + all_->groups() - 1) / all_->groups();
  };
  return number >= first_of(all_->group()) && number < first_of(all_->group() + 1);
}

void trainer::restore(training_state s) {
  order_.go_to(s.data);
  state_ = std::move(s);
}

// All windows in their order; this rank's shards keep theirs, or their piece of time.
void trainer::read_batch() {
  auto mine = shards_.begin();
  for (int number = 0; number < shard_count_; ++number) {
    const bool is_mine = has(number);
    if (is_mine) (*mine)->inputs.clear(), (*mine)->targets.clear();
    for (index i = first_sequence(number); i < first_sequence(number + 1); ++i) {
      const std::size_t at = order_.next() + static_cast<std::size_t>(piece_begin_);
      if (!is_mine) continue;
      const bytes piece =
          bytes(text_.train).subspan(at, static_cast<std::size_t>(piece_count_) + 1);
      (*mine)->inputs.insert((*mine)->inputs.end(), piece.begin(), piece.end() - 1);
      (*mine)->targets.insert((*mine)->targets.end(), piece.begin() + 1, piece.end());
    }
    if (is_mine) ++mine;
  }
}

void trainer::each_part(const std::function<void(index, index)>& f) const {
  const index size = state_.theta.size();
  parallel_for(threads_, static_cast<int>((size + part - 1) / part), [&](int i) {
    const index begin = i * part;
    f(begin, std::min(part, size - begin));
  });
}

// The sum goes from rank to rank, each adds its shards to it one after another, as one alone does.
void trainer::add_gradients() {
  gradient_.resize(state_.theta.size());
  const std::span<float> sum(gradient_.data(), static_cast<std::size_t>(gradient_.size()));
  const bool begins = all_ == nullptr || all_->own() == 0;
  if (!begins) all_->receive(all_->own() - 1, sum);
  each_part([&](index begin, index count) {
    for (std::size_t s = 0; s < shards_.size(); ++s) {
      const auto one = shards_[s]->gradient.segment(begin, count);
      if (begins && s == 0)
        gradient_.segment(begin, count) = one;
      else
        gradient_.segment(begin, count) += one;
    }
  });
  if (all_ == nullptr) return;
  const int last = all_->count() - 1;
  if (all_->own() < last) all_->send(all_->own() + 1, sum);
  all_->broadcast(last, std::as_writable_bytes(sum));
}

double trainer::step() {
  read_batch();
  const double tokens = static_cast<double>(run_.batch) * run_.context;
  std::vector<double> losses(static_cast<std::size_t>(shard_count_));
  parallel_for(is_shared() ? 1 : threads_, static_cast<int>(shards_.size()), [&](int i) {
    shard& s = *shards_[static_cast<std::size_t>(i)];
    s.gradient.setZero(state_.theta.size());
    s.training.forward(state_.theta, s.inputs);
    losses[static_cast<std::size_t>(s.number)] = s.training.loss(s.targets);
    s.training.backward(state_.theta, s.gradient, static_cast<float>(1 / tokens));
  });
  add_gradients();
  clip(gradient_, longest_gradient);
  const double rate = run_.lr * schedule(state_.step, state_.total);
  ++state_.step;
  each_part([&](index begin, index count) {
    adamw(state_.theta, state_.optimizer, gradient_, decays_, state_.step, rate, begin, count);
  });

  if (all_ != nullptr) all_->sum(losses);
  double loss = 0;
  for (const double of_shard : losses) loss += of_shard;
  loss /= tokens;
  state_.losses.push_back(static_cast<float>(loss));
  state_.data = order_.where();
  return loss;
}

double trainer::held_out_bits() {
  const std::size_t pieces = text_.pieces();
  std::vector<double> nats(pieces);
  const auto sharing = static_cast<std::size_t>(all_ != nullptr ? all_->a_sequence() : 1);
  const auto place = static_cast<std::size_t>(all_ != nullptr ? all_->place() : 0);
  parallel_for(threads_, static_cast<int>(shards_.size()), [&](int i) {
    shard& s = *shards_[static_cast<std::size_t>(i)];
    const std::size_t all = static_cast<std::size_t>(shard_count_) * sharing;
    for (std::size_t p = static_cast<std::size_t>(s.number) * sharing + place; p < pieces;
         p += all) {
      const bytes piece = text_.held_out_piece(p);
      s.measuring.forward(state_.theta, piece.first(corpus::piece - 1));
      nats[p] = s.measuring.loss(piece.last(corpus::piece - 1));
    }
  });
  if (all_ != nullptr) all_->sum(nats);
  double sum = 0;
  for (double n : nats) sum += n;
  return sum / std::numbers::ln2 / static_cast<double>(pieces * (corpus::piece - 1));
}

}  // namespace char_lm
