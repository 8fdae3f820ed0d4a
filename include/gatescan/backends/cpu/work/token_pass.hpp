#pragma once
// One token of streaming (step): every agent takes it, on the caller's own state.

#include <algorithm>
#include <span>

#include "../agents/token_agent.hpp"
#include "../threads/parallel_for.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <token_agent A>
class token_pass {
  using problem = typename A::problem;

 public:
  token_pass(const cpu& backend, const problem& p)
      : backend_(backend), p_(p), blocks_(A::value_blocks(p.n)) {
    items_ = p.n.values > 0 ? p.n.sequences * p.n.heads * blocks_ : 0;
    workers_ = std::clamp<index_t>(items_, 1, backend.threads);
  }

  std::size_t bytes() const {
    arena one;
    A(one, p_);
    return static_cast<std::size_t>(workers_) * one.bytes_needed();
  }
  void run(std::span<std::byte> scratch, const forward_results<typename A::format>& to) const {
    const std::size_t piece = scratch.size() / static_cast<std::size_t>(workers_);
    parallel_for(backend_, workers_, [&](index_t part, int thread) {
      arena memory(scratch.subspan(static_cast<std::size_t>(thread) * piece, piece));
      A agent(memory, p_);
      const index_t end = first_item(part + 1);
      index_t item = first_item(part), s = 0, h = 0, block = 0;
      if (item > 0)
        s = item / blocks_ / p_.n.heads, h = item / blocks_ % p_.n.heads, block = item % blocks_;
      for (; item < end; ++item) {
        agent.step(to, s, h, block);
        if (++block == blocks_) block = 0, ++h;
        if (h == p_.n.heads) h = 0, ++s;
      }
    });
  }

 private:
  index_t first_item(index_t part) const {  // one worker's are all: no division
    return workers_ == 1 ? part * items_ : part * items_ / workers_;
  }

  const cpu& backend_;
  const problem& p_;
  index_t blocks_, items_, workers_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
