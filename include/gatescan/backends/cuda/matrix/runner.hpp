#pragma once
// Matrix states on a device: the order of programs in each mode.
//
//   recurrent        steps
//   chunked          summaries of chunks, carry, outputs
//   scan             the same with segments for chunks, then steps inside each segment
//   attention        outputs with the whole sequence for a chunk
//   backward         recurrent: steps back; else summaries and carry, both ways, and gradients of
//                    values, then of keys

#include "../../../modes/schedule.hpp"
#include "carry.hpp"
#include "chunk_keys_adjoint.hpp"
#include "chunk_outputs.hpp"
#include "token_steps.hpp"
#include "token_steps_adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_runner {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;

 public:
  using format = T;
  using problem = problem_of<R, T>;

  matrix_runner(const problem& p, const schedule& plan) : p_(p), plan_(plan) {}

  static preferences preferred(const sizes& n) {
    // 64 lanes: about four blocks for every multiprocessor of a large GPU
    constexpr index_t full = 528;
    const index_t blocks = n.sequences * n.heads * ceil_divide(n.values, kit::values);
    preferences best;
    best.parts = ceil_divide(blocks * preferences::usual_parts, full);
    best.forward_chunk = best.backward_chunk = kit::tokens;
    return best;
  }

  schedule as_it_runs() const {
    schedule how = plan_;
    if (how.form != kernel_form::steps) how.forward_chunk = chunk_length();
    return how;
  }

  void lay_out_forward(arena& memory) {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    if (plan_.form != kernel_form::steps) {
      chunks_ = time_chunks(p_.n, chunk_length());
      states_ = chunk_states<R, T>(p_.n);
      states_.take_states(memory, chunks_);
      states_.take_products(memory, chunks_);
    }
    if (steps_forward()) take_resting(memory);
  }

  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) const {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    if (plan_.form == kernel_form::steps) return run(gpu, steps(to.out, to.final_state));
    if (plan_.form == kernel_form::attention) {  // the final state may replace the initial one
      if (to.out.given) run(gpu, outputs(to.out, nullptr));
      if (to.final_state.given) find_states(gpu, to.final_state);
      return;
    }
    find_states(gpu, to.final_state);
    if (!to.out.given) return;
    if (plan_.segments > 1) return run(gpu, segment_steps(to.out));
    run(gpu, outputs(to.out, nullptr));
  }

  void lay_out_backward(arena& memory, const backward_results<R, T>& r) {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    const index_t asked = plan_.form == kernel_form::chunks ? enough(plan_.backward_chunk)
                                                            : static_cast<index_t>(kit::tokens);
    chunks_ = steps_backward() ? time_chunks(p_.n, p_.n.time)
                               : time_chunks(p_.n, asked < kit::tokens ? asked : kit::tokens);
    if (!steps_backward()) {
      states_ = chunk_states<R, T>(p_.n);
      states_.take_products(memory, chunks_);
      adjoints_ = states_;
      states_.take_states(memory, chunks_);
      adjoints_.take_states(memory, chunks_);
    }
    d_o_.d_out = r.out;
    d_o_.n = p_.n;
    if (output_gradient<R, T>::needs_o)
      o_ = memory.take<C>(p_.n.batch * p_.n.time * p_.n.heads * p_.n.values);
    d_o_.o = o_;
    gradients_ = gradient_stores<R, T>(p_, r.d, chunks_);
    gradients_.take(memory);
    initial_state_ = gradient_sink<C, C>(r.initial_state, R::state_axes, p_.n, chunks_.packed, 1);
    initial_state_.take(memory);
    if (!steps_backward()) return;
    if (output_gradient<R, T>::needs_o) take_resting(memory);
    back_ = {p_, chunks_, plan_.backward_chunk, d_o_, r.final_state, initial_state_, gradients_};
    back_.take(memory);
  }

  template <class Device>
  void backward(const Device& gpu, const backward_results<R, T>& r) const {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    if (steps_backward()) {
      if (output_gradient<R, T>::needs_o) run(gpu, steps({}, {}, o_));
      run(gpu, back_);
      return add_up(gpu);
    }
    find_states(gpu, {});
    if (output_gradient<R, T>::needs_o) run(gpu, outputs({}, o_));
    run(gpu, matrix_summaries<R, T, true>{p_, chunks_, adjoints_, d_o_});
    run(gpu,
        matrix_carry<R, T, true>{p_, chunks_, adjoints_, r.final_state, {}, initial_state_, d_o_});
    if (gradients_.wants(side::values))
      run(gpu, matrix_outputs<R, T, true>{p_, chunks_, adjoints_, d_o_, {}, nullptr, gradients_});
    if (gradients_.wants(side::keys))
      run(gpu, matrix_keys_adjoint<R, T>{p_, chunks_, states_, adjoints_, d_o_, gradients_});
    add_up(gpu);
  }

 private:
  // Inside a segment gates are multiplied in float. The rounding of a gate that stays the same adds
  // up: after so many tokens to 3e-5.
  static constexpr index_t longest_segment = 512;

  template <class Device>
  void add_up(const Device& gpu) const {
    gradients_.add_up(gpu, p_.n);
    add_partial_sums(gpu, initial_state_, p_.n, chunks_.packed);
  }
  bool steps_backward() const { return plan_.form == kernel_form::steps && p_.n.time > 0; }
  bool steps_forward() const { return plan_.form == kernel_form::steps || plan_.segments > 1; }
  // A state is kept for every chunk: short ones go together.
  static index_t enough(index_t run) { return round_up(kit::sub, run); }
  index_t chunk_length() const {
    if (plan_.form == kernel_form::attention) return kit::tokens;
    if (plan_.segments == 1) return enough(plan_.forward_chunk);
    const index_t asked = ceil_divide(p_.n.time, plan_.segments),
                  tokens = asked < longest_segment ? asked : longest_segment;
    return tokens > 0 ? round_up(tokens, kit::sub) : kit::sub;
  }
  void take_resting(arena& memory) {
    const auto program = plan_.form == kernel_form::steps ? steps({}, {}) : segment_steps({});
    if (program.needs_rest()) resting_ = memory.take<C>(program.items() * program.resting_size());
  }

  matrix_steps<R, T> steps(const operand<typename kit::S>& out, const operand<C>& state,
                           C* o = nullptr) const {
    return {p_, false, {}, {}, resting_, out, state, o};
  }
  matrix_steps<R, T> segment_steps(const operand<typename kit::S>& out) const {
    return {p_, true, chunks_, states_, resting_, out, {}, nullptr};
  }
  matrix_outputs<R, T, false> outputs(const operand<typename kit::S>& out, C* o) const {
    if (plan_.form == kernel_form::attention && o == nullptr)
      return {p_, time_chunks(p_.n, p_.n.time > 0 ? p_.n.time : 1), {}, {}, out, o, {}};
    return {p_, chunks_, states_, {}, out, o, {}};
  }
  // states at the starts of chunks, and the last one
  template <class Device>
  void find_states(const Device& gpu, const operand<C>& final_state) const {
    run(gpu, matrix_summaries<R, T, false>{p_, chunks_, states_, {}});
    run(gpu,
        matrix_carry<R, T, false>{p_, chunks_, states_, p_.initial_state, final_state, {}, {}});
  }

  const problem& p_;
  schedule plan_;
  time_chunks chunks_{};
  chunk_states<R, T> states_{}, adjoints_{};
  output_gradient<R, T> d_o_{};
  gradient_stores<R, T> gradients_{};
  gradient_sink<C, C> initial_state_{};
  matrix_steps_adjoint<R, T> back_{};
  C *resting_ = nullptr, *o_ = nullptr;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
