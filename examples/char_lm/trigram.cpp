#include "trigram.hpp"

#include <algorithm>
#include <cmath>

namespace char_lm {

trigram::trigram(const corpus& text) {
  for (const auto& part : {text.train, text.held_out})
    for (std::uint8_t b : part)
      if (symbol_[b] == 0) symbol_[b] = static_cast<std::uint16_t>(++symbols_);
  for (auto& s : symbol_)
    if (s > 0) --s;
  std::size_t size = 1;
  for (std::size_t n = 0; n < orders; ++n) {
    contexts_[n].resize(size);
    size *= symbols_;
    counts_[n].resize(size);
  }
  const bytes train(text.train);
  for (std::size_t i = 0; i < train.size(); ++i)
    for (int n = 0; n < orders && static_cast<std::size_t>(n) <= i; ++n) {
      const auto order = static_cast<std::size_t>(n);
      const std::size_t c = context(train.first(i), n);
      successors& s = contexts_[order][c];
      ++s.total;
      if (counts_[order][c * symbols_ + symbol_[train[i]]]++ == 0) ++s.different;
    }

  // One discount after the other, twice round.
  discounts best{0.5, 0.5, 0.5};
  bits_ = bits(text, best);
  for (int round = 0; round < 2; ++round)
    for (double& d : best)
      for (double candidate = 0.05, kept = d; candidate < 1; candidate += 0.05) {
        d = candidate;
        const double b = bits(text, best);
        if (b < bits_) bits_ = b, kept = candidate;
        d = kept;
      }
}

std::size_t trigram::context(bytes before, int order) const {
  std::size_t c = 0;
  for (std::uint8_t b : before.last(static_cast<std::size_t>(order))) c = c * symbols_ + symbol_[b];
  return c;
}

double trigram::probability(bytes before, std::uint8_t next, const discounts& d) const {
  double p = 1.0 / 256;
  for (int n = 0; n < orders && static_cast<std::size_t>(n) <= before.size(); ++n) {
    const auto order = static_cast<std::size_t>(n);
    const std::size_t c = context(before, n);
    const successors& s = contexts_[order][c];
    if (s.total == 0) break;
    const double count = counts_[order][c * symbols_ + symbol_[next]];
    p = (std::max(count - d[order], 0.0) + d[order] * s.different * p) / s.total;
  }
  return p;
}

double trigram::bits(const corpus& text, const discounts& d) const {
  double sum = 0;
  for (std::size_t i = 0; i < text.pieces(); ++i) {
    const bytes piece = text.held_out_piece(i);
    for (std::size_t t = 1; t < piece.size(); ++t)
      sum -= std::log2(probability(piece.first(t), piece[t], d));
  }
  return sum / static_cast<double>(text.pieces() * (corpus::piece - 1));
}

}  // namespace char_lm
