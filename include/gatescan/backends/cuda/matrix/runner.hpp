#pragma once
// Matrix states on a device: the order of programs in each mode. (chunk_state stands for
// split_chunk_state too, where operands have 16 bits.)
//
//   recurrent        steps
//   chunked          chunk_state, state_passing, chunk_scan
//   scan             chunk_state, state_passing with segments for chunks; steps inside each segment
//   attention        chunk_scan with the whole sequence for a chunk
//   backward         recurrent: steps_adjoint; else chunk_state and state_passing both ways, and
//                    gradients of values (chunk_scan against time), then keys_adjoint (of one gate
//                    a head, where operands have 16 bits, head_keys_adjoint)

#include "../../../modes/schedule.hpp"
#include "chunk_scan.hpp"
#include "head_keys_adjoint.hpp"
#include "split_chunk_state.hpp"
#include "split_keys_adjoint.hpp"
#include "state_passing.hpp"
#include "steps.hpp"
#include "steps_adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class R, class T>
class matrix_runner {
  using config = matrix::tile_config<R, T>;
  using C = typename config::C;

 public:
  using format = T;
  using problem = problem_of<R, T>;

  matrix_runner(const problem& p, const schedule& how) : p_(p), how_(how) {}

  static preferences preferred(const sizes& n) {
    preferences best = with_segments(n.time);
    best.parts = n.sequences * n.heads * ceil_divide(n.values, config::values);
    best.enough_parts = tuned.full_blocks;
    best.forward_chunk = best.backward_chunk = config::tokens;
    return best;
  }

  schedule as_it_runs() const {
    schedule how = how_;
    if (how.form != kernel_form::steps) how.forward_chunk = chunk_tokens();
    return how;
  }

  void lay_out_forward(arena& memory) {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    if (how_.form != kernel_form::steps) {
      chunks_ = time_split(p_.n, p_.offsets, chunk_tokens());
      states_ = matrix::stored_states<R, T>(p_.n);
      states_.take_states(memory, chunks_);
      states_.take_products(memory, chunks_);
    }
    if (steps_forward()) take_spilled(memory);
  }

  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) const {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    if (how_.form == kernel_form::steps) return launch(gpu, steps(to.out, to.final_state));
    if (how_.form == kernel_form::attention) {  // the final state may replace the initial one
      if (to.out.given) find_outputs(gpu, to.out, nullptr);
      if (to.final_state.given) find_states(gpu, to.final_state);
      return;
    }
    find_states(gpu, to.final_state);
    if (!to.out.given) return;
    if (how_.segments > 1) return launch(gpu, segment_steps(to.out));
    find_outputs(gpu, to.out, nullptr);
  }

  void lay_out_backward(arena& memory, const backward_results<R, T>& r) {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    const index_t asked = how_.form == kernel_form::chunks ? enough(how_.backward_chunk)
                                                           : static_cast<index_t>(config::tokens);
    const index_t chunk = asked < config::tokens ? asked : config::tokens;
    chunks_ = time_split(p_.n, p_.offsets, steps_backward() ? p_.n.time : chunk);
    if (!steps_backward()) {
      states_ = matrix::stored_states<R, T>(p_.n);
      states_.take_products(memory, chunks_);
      adjoints_ = states_;
      states_.take_states(memory, chunks_);
      adjoints_.take_states(memory, chunks_);
    }
    d_o_.d_out = r.out;
    d_o_.n = p_.n;
    if (matrix::output_gradient<R, T>::needs_o)
      o_ = memory.take<C>(p_.n.batch * p_.n.time * p_.n.heads * p_.n.values);
    d_o_.o = o_;
    at_first_key_ = !steps_backward() && gates_may_share_gradients(r.d);
    gradients_ = matrix::gradient_stores<R, T>(p_, r.d, chunks_, at_first_key_);
    gradients_.take(memory);
    initial_state_ = gradient_sink<C, C>(r.initial_state, R::state_axes, p_.n, chunks_.packed, 1);
    initial_state_.take(memory);
    if (!steps_backward()) return;
    if (matrix::output_gradient<R, T>::needs_o) take_spilled(memory);
    back_ = {p_, chunks_, how_.backward_chunk, d_o_, r.final_state, initial_state_, gradients_};
    back_.take(memory);
  }

  template <class Device>
  void backward(const Device& gpu, const backward_results<R, T>& r) const {
    if (p_.n.values == 0 || p_.n.keys == 0) return;
    if (steps_backward()) {
      if (matrix::output_gradient<R, T>::needs_o) launch(gpu, steps({}, {}, o_));
      launch(gpu, back_);
      return add_up(gpu);
    }
    find_states(gpu, {});
    if (matrix::output_gradient<R, T>::needs_o) find_outputs(gpu, {}, o_);
    with_gates([&](auto of_head) {
      launch(gpu, matrix::state_of_chunk<R, T, true, of_head.value>{p_, chunks_, adjoints_, d_o_});
    });
    launch(gpu, matrix::state_passing<R, T, true>{
                    p_, chunks_, adjoints_, r.final_state, {}, initial_state_, d_o_});
    if (gradients_.wants(side::values))
      with_gates([&](auto of_head) {
        launch(gpu, matrix::chunk_scan<R, T, true, of_head.value>{
                        p_, chunks_, adjoints_, d_o_, {}, nullptr, gradients_});
      });
    if (gradients_.wants(side::keys)) find_keys_adjoint(gpu);
    add_up(gpu);
  }

 private:
  template <class Device>
  void add_up(const Device& gpu) const {
    gradients_.add_up(gpu, p_.n);
    add_partial_sums(gpu, initial_state_, p_.n, chunks_.packed);
  }
  bool steps_backward() const { return how_.form == kernel_form::steps && p_.n.time > 0; }
  bool steps_forward() const { return how_.form == kernel_form::steps || how_.segments > 1; }
  // A state is kept for every chunk: short ones go together.
  static index_t enough(index_t chunk) { return round_up(config::subchunk, chunk); }
  index_t chunk_tokens() const {
    if (how_.form == kernel_form::attention) return config::tokens;
    if (how_.segments == 1) return enough(how_.forward_chunk);
    const index_t asked = ceil_divide(p_.n.time, how_.segments),
                  tokens = asked < tuned.longest_segment ? asked : tuned.longest_segment;
    return tokens > 0 ? round_up(tokens, config::subchunk) : config::subchunk;
  }
  void take_spilled(arena& memory) {
    const auto program = how_.form == kernel_form::steps ? steps({}, {}) : segment_steps({});
    if (program.spills()) spilled_ = memory.take<C>(program.items() * program.spilled_size());
  }

  matrix::steps<R, T> steps(const operand<typename config::S>& out, const operand<C>& state,
                            C* o = nullptr) const {
    return {p_, false, {p_.n, p_.offsets, p_.n.time}, {}, spilled_, out, state, o};
  }
  matrix::steps<R, T> segment_steps(const operand<typename config::S>& out) const {
    return {p_, true, chunks_, states_, spilled_, out, {}, nullptr};
  }
  // f(std::bool_constant): whether programs that know it have one gate a token and head.
  template <class F>
  void with_gates(const F& f) const {
    if constexpr (!config::splits || config::complex || !may_have_head_gate<R>) {
      f(std::false_type{});
    } else {
      if (has_head_gate<R>(p_.x)) return f(std::true_type{});
      if constexpr (R::form.gate != gate_span::head) f(std::false_type{});
    }
  }
  // Whether all keys of a token have one gate, and none asks for a gradient a key.
  static constexpr bool may_share_gradients =
      config::splits && !config::complex && may_have_head_gate<R> && separates_head_gate<R>;
  bool gates_may_share_gradients(const typename config::operands_to& d) const {
    bool shared = may_share_gradients && has_head_gate<R>(p_.x);
    if constexpr (may_share_gradients)
      R::operands(
          [&](const char*, const axes&, presence, const auto& to, const auto& not_of_gates) {
            if (to.given && !not_of_gates.given && to.key != 0) shared = false;
          },
          d, without_gate<R>(d));
    return shared;
  }
  template <class Device>
  void find_keys_adjoint(const Device& gpu) const {
    if constexpr (may_share_gradients)
      if (at_first_key_)
        return launch(gpu, matrix::head_keys_adjoint<R, T>{p_, chunks_, states_, adjoints_, d_o_,
                                                           gradients_});
    launch(gpu, matrix::keys_adjoint<R, T>{p_, chunks_, states_, adjoints_, d_o_, gradients_});
  }
  template <class Device>
  void find_outputs(const Device& gpu, const operand<typename config::S>& out, C* o) const {
    const bool whole = how_.form == kernel_form::attention && o == nullptr;
    const time_split chunks = whole ? time_split(p_.n, p_.offsets, p_.n.time) : chunks_;
    const auto states = whole ? matrix::stored_states<R, T>{} : states_;
    with_gates([&](auto of_head) {
      launch(gpu,
             matrix::chunk_scan<R, T, false, of_head.value>{p_, chunks, states, {}, out, o, {}});
    });
  }
  // states at the starts of chunks, and the last one
  template <class Device>
  void find_states(const Device& gpu, const operand<C>& final_state) const {
    with_gates([&](auto of_head) {
      launch(gpu, matrix::state_of_chunk<R, T, false, of_head.value>{p_, chunks_, states_, {}});
    });
    launch(gpu, matrix::state_passing<R, T, false>{
                    p_, chunks_, states_, p_.initial_state, final_state, {}, {}});
  }

  const problem& p_;
  schedule how_;
  time_split chunks_{};
  matrix::stored_states<R, T> states_{}, adjoints_{};
  matrix::output_gradient<R, T> d_o_{};
  matrix::gradient_stores<R, T> gradients_{};
  gradient_sink<C, C> initial_state_{};
  matrix::steps_adjoint<R, T> back_{};
  C *spilled_ = nullptr, *o_ = nullptr;
  bool at_first_key_ = false;
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
