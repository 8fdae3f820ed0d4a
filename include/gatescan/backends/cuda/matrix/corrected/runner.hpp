#pragma once
// A corrected transition on a device, on rows: the order of programs in each mode.
//
//   recurrent        steps
//   chunked          decays, system, passing: U of all tokens, states; chunk_scan with values U
//   scan             the same up to the states; steps inside each segment, of a chunk at most
//   attention        the same; chunk_scan with the whole sequence for a chunk
//   backward         recurrent: steps_adjoint; else what chunked does up to the states, M^T dO
//                    (chunk_scan against time), system and passing back, and chunk_keys_adjoint for
//                    both readers, q and p

#include "../../../../modes/schedule.hpp"
#include "../chunk_keys_adjoint.hpp"
#include "../chunk_scan.hpp"
#include "../lowered/prologue_adjoint.hpp"
#include "decays.hpp"
#include "state_passing.hpp"
#include "steps_adjoint.hpp"
#include "system.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// With transition::low_rank p reads before its token's gate.
template <class T, transition Moves>
class corrected_runner {
  using R = matrix::row_product;
  using config = matrix::tile_config<R, T>;
  using C = typename config::C;
  using problem = problem_of<R, T>;
  static constexpr auto p_reads = Moves == transition::low_rank ? matrix::query_reads::before_gate
                                                                : matrix::query_reads::after_gate;

 public:
  corrected_runner(const problem& p, const matrix::token_rows<C>& rows, const schedule& how)
      : p_(p), rows_(rows), how_(how) {}

  static preferences preferred(const sizes& n) {
    preferences best = with_segments(n.time);
    best.parts = n.sequences * n.heads * ceil_divide(n.values, warp_threads);
    best.enough_parts = tuned.full_blocks;
    best.forward_chunk = best.backward_chunk = config::tokens;
    return best;
  }
  /// What backward leaves in row_gradients::of_p.
  static bool leaves_p_apart(const schedule& how) { return how.form != kernel_form::steps; }
  schedule as_it_runs() const {
    schedule how = how_;
    if (how.form != kernel_form::steps) how.forward_chunk = chunk_tokens(how_.forward_chunk);
    return how;
  }

  void lay_out_forward(arena& memory) {
    if (by_chunks()) lay_out_chunks(memory, chunk_tokens(how_.forward_chunk));
    if (!by_chunks() || how_.segments > 1) {
      steps_ = steps({}, {});
      steps_.take(memory);
    }
  }
  template <class Device>
  void forward(const Device& gpu, const operand<C>& out, const operand<C>& final_state) const {
    if (!by_chunks()) return launch(gpu, steps(out, final_state));
    const problem solved = with_values(u_);
    if (how_.form == kernel_form::attention) {  // the final state may replace the initial one
      find_states(gpu, {});
      if (out.given)
        launch(gpu, matrix::chunk_scan<R, T, false>{
                        solved, {p_.n, p_.offsets, p_.n.time}, {}, {}, out, nullptr, {}});
      if (final_state.given)
        launch(gpu, matrix::corrected_final<T, Moves>{passing_forward(final_state)});
      return;
    }
    find_states(gpu, final_state);
    if (!out.given) return;
    if (how_.segments > 1) return launch(gpu, steps(out, {}));
    launch(gpu, matrix::chunk_scan<R, T, false>{solved, chunks_, states_, {}, out, nullptr, {}});
  }

  void lay_out_backward(arena& memory, const gradient_sink<C, C>& initial_state,
                        const matrix::row_gradients<C>& d) {
    d_ = d, d_initial_ = initial_state;
    if (!by_chunks()) {
      back_ = {p_.n, {p_.n, p_.offsets, p_.n.time}, how_.backward_chunk, rows_};
      return back_.take(memory);
    }
    const index_t asked = how_.form == kernel_form::chunks ? how_.backward_chunk
                                                           : static_cast<index_t>(config::tokens);
    lay_out_chunks(memory, chunk_tokens(asked));
    adjoints_ = matrix::stored_states<R, T>(p_.n);
    adjoints_.take_states(memory, chunks_);
    adjoints_.products = states_.products;
  }
  /// d_o: rows.
  template <class Device>
  void backward(const Device& gpu, const C* d_o, const operand<const C>& d_final) const {
    using matrix::chunk_keys_adjoint, matrix::chunk_scan, matrix::chunk_state;
    using matrix::key_rows, matrix::value_rows, matrix::output_gradient;
    if (!by_chunks()) {
      matrix::corrected_steps_adjoint<C, Moves> back = back_;
      back.rows = rows_, back.initial_state = p_.initial_state;
      back.d_o = d_o, back.d_final = d_final, back.d_initial = d_initial_;
      back.d = {d_.of.q, d_.of.k, d_.of.gate, d_.of.v, d_.of_p.q};
      launch(gpu, back);
      return;
    }
    find_states(gpu, {});
    const output_gradient<R, T> from_o{value_rows<const C>(d_o, p_.n), nullptr, p_.n},
        from_p{value_rows<const C>(d_.of.v, p_.n), nullptr, p_.n};
    problem solved = with_values(u_);
    solved.initial_state = {};  // no gradient of a state: M^T dO alone
    typename config::operands_to to{};
    to.v = value_rows(d_.of.v, p_.n);
    launch(gpu,
           chunk_scan<R, T, true>{solved, chunks_, {}, from_o, {}, nullptr, {solved, to, chunks_}});
    launch(gpu, matrix::corrected_system<T, Moves, true>{with_queries(rows_.p), chunks_, d_.of.v,
                                                         k_decayed_, d_.of.v, reads_});
    launch(gpu, chunk_state<R, T, true>{solved, chunks_, adjoints_, from_o});
    matrix::token_rows<C> rows = rows_;
    rows.v = const_cast<C*>(d_o);
    launch(gpu, passing<true>(rows, p_decayed_, d_.of.v, adjoints_, d_final, {}, d_initial_));
    to = {};
    to.q = key_rows(d_.of.q, p_.n), to.k = key_rows(d_.of.k, p_.n);
    to.gate = key_rows(d_.of.gate, p_.n);
    launch(gpu, chunk_keys_adjoint<R, T>{
                    solved, chunks_, states_, adjoints_, from_o, {solved, to, chunks_}});
    solved.x.q = key_rows<const C>(rows_.p, p_.n);
    to.q = key_rows(d_.of_p.q, p_.n), to.k = key_rows(d_.of_p.k, p_.n);
    to.gate = key_rows(d_.of_p.gate, p_.n);
    launch(gpu, chunk_keys_adjoint<R, T, p_reads>{
                    solved, chunks_, states_, {}, from_p, {solved, to, chunks_}});
  }

 private:
  bool by_chunks() const { return how_.form != kernel_form::steps; }
  index_t chunk_tokens(index_t asked) const {
    if (how_.form == kernel_form::attention) asked = config::tokens;
    if (how_.segments > 1) asked = ceil_divide(p_.n.time, how_.segments);
    const index_t tokens = round_up(asked > 1 ? asked : 1, config::subchunk);
    return tokens < config::tokens ? tokens : config::tokens;
  }
  void lay_out_chunks(arena& memory, index_t tokens) {
    chunks_ = time_split(p_.n, p_.offsets, tokens);
    states_ = matrix::stored_states<R, T>(p_.n);
    states_.take_states(memory, chunks_);
    states_.take_products(memory, chunks_);
    p_decayed_ = matrix::take_key_rows<C>(memory, p_.n);
    k_decayed_ = matrix::take_key_rows<C>(memory, p_.n);
    reads_ = matrix::take_key_rows<C>(memory, p_.n);
    u_ = matrix::take_value_rows<C>(memory, p_.n);
    passed_ = {p_.n, chunks_};
    passed_.take(memory);
  }
  problem with_values(const C* values) const {
    problem p = p_;
    p.x.v = matrix::value_rows<const C>(values, p.n);
    return p;
  }
  problem with_queries(const C* rows) const {
    problem p = p_;
    p.x.q = matrix::key_rows<const C>(rows, p.n);
    return p;
  }
  matrix::corrected_steps<C, Moves> steps(const operand<C>& out,
                                          const operand<C>& final_state) const {
    const bool scan = by_chunks();
    return {p_.n,  scan,           scan ? chunks_ : time_split(p_.n, p_.offsets, p_.n.time),
            rows_, states_.states, p_.initial_state,
            out,   final_state,    steps_.spilled};
  }
  template <bool Adjoint>
  matrix::corrected_passing<T, Moves, Adjoint> passing(const matrix::token_rows<C>& rows,
                                                       const C* writes, C* solved,
                                                       const matrix::stored_states<R, T>& states,
                                                       const operand<const C>& from,
                                                       const operand<C>& final_state,
                                                       const gradient_sink<C, C>& d_initial) const {
    return {p_.n,   chunks_, rows,        reads_,    writes,          solved,
            states, from,    final_state, d_initial, passed_.carried, passed_.exact};
  }
  // U of all tokens, states at the starts of chunks, and the last one
  template <class Device>
  void find_states(const Device& gpu, const operand<C>& final_state) const {
    launch(gpu,
           matrix::chunk_decays<T, Moves>{p_.n, chunks_, rows_, p_decayed_, k_decayed_, states_});
    launch(gpu, matrix::corrected_system<T, Moves, false>{with_queries(rows_.p), chunks_, rows_.v,
                                                          p_decayed_, u_, reads_});
    launch(gpu, passing_forward(final_state));
  }
  auto passing_forward(const operand<C>& final_state) const {
    return passing<false>(rows_, k_decayed_, u_, states_, p_.initial_state, final_state, {});
  }

  const problem& p_;
  const matrix::token_rows<C>& rows_;
  schedule how_;
  time_split chunks_{};
  matrix::stored_states<R, T> states_{}, adjoints_{};
  matrix::corrected_steps<C, Moves> steps_{};
  matrix::corrected_passing<T, Moves, false> passed_{};
  C *p_decayed_ = nullptr, *k_decayed_ = nullptr, *reads_ = nullptr, *u_ = nullptr;
  matrix::row_gradients<C> d_{};
  gradient_sink<C, C> d_initial_{};
  matrix::corrected_steps_adjoint<C, Moves> back_{};
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
