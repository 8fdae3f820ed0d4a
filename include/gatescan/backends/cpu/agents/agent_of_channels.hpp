#pragma once
// What agents have in common that take a block of a head's channels, one number or a few a channel
// and no keys: where they are, and the problem's operands there (agent.hpp has the contract).

#include <algorithm>

#include "agent.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class agent_of_channels {
 public:
  using recurrence = R;
  using format = T;
  using storage = storage_t<T>;
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;
  using targets = gradient_targets_of<R, T>;

  template <class S>
  static bool adds_lanes(const operand<S>& to) {
    return to.value == 0;
  }
  static preferences preferred(const problem&) { return {}; }

  index_t value_pitch() const { return width_; }
  index_t first_value() const { return v_; }
  index_t value_count() const { return (std::min)(width_, p_->n.values - v_); }
  index_t head() const { return h_; }
  index_t batch() const { return b_; }
  index_t sequence() const { return s_; }

  void seek(index_t sequence, index_t head, index_t block) {
    b_ = p_->batch_of(sequence), s_ = sequence, h_ = head, v_ = block * width_;
    for_each_field<R>([&](const auto& all, auto& own) { own = all.of_head(b_, h_, v_); }, p_->x,
                      x_);
  }

 protected:
  /// width: channels a block.
  agent_of_channels(const problem& p, index_t width) : p_(&p), width_(width), x_(p.x) {}

  /// The part of a result, or of its gradient, that these channels have.
  template <class S>
  operand<S> here(const operand<S>& all) const {
    return all.of_head(b_, h_, v_);
  }
  /// The first of these channels in a state.
  template <class S>
  index_t place_of_state(const operand<S>& state) const {
    return state.offset(s_, 0, h_) + v_ * state.value;
  }

  const problem* p_;
  index_t width_;
  operands_of<R, T> x_;  // of these channels

 private:
  index_t b_ = 0, s_ = 0, h_ = 0, v_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
