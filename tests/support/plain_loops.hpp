// What all oracles share: which tokens form a sequence, which operand head a head reads, and
// what a gate of exactly 0 means.
#pragma once

#include <algorithm>
#include <vector>

#include "numbers.hpp"
#include "tensor.hpp"

namespace support::oracle {

// Tokens begin..end of one batch row; `state` is its row in initial_state and final_state.
struct sequence {
  int64 batch, begin, end, state;
};

inline std::vector<sequence> sequences(int64 batches, int64 length,
                                       const std::vector<int64>& offsets) {
  std::vector<sequence> r;
  if (offsets.empty())
    for (int64 b = 0; b < batches; ++b) r.push_back({b, 0, length, b});
  else
    for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
      r.push_back({0, offsets[i], offsets[i + 1], static_cast<int64>(i)});
  return r;
}

inline int64 state_count(int64 batches, const std::vector<int64>& offsets) {
  return offsets.empty() ? batches : static_cast<int64>(offsets.size()) - 1;
}

// Element (b, t, h, i) of a [B, L, heads, n] operand, where `heads` divides all heads and the last
// axis may be 1 for "the same for all".
template <class T>
auto& at(T& x, int64 b, int64 t, int64 h, int64 i, int64 all_heads) {
  const int64 group = all_heads / x.extent(2);
  return x(b, t, h / group, std::min(i, x.extent(3) - 1));
}

// A gate of exactly 0 is a hard reset: what came before is not multiplied but left out, so that
// neither Inf nor NaN comes through, forward or backward.
template <class E>
E keep(const E& gate, const E& before) {
  return gate == E{} ? E{} : gate * before;
}

template <class T>
tensor<T> zeros_like(const tensor<T>& x) {
  return x.given() ? tensor<T>(x.shape) : tensor<T>{};
}

}  // namespace support::oracle
