#pragma once
// One head of a matrix-state recurrence: the recurrence's prologue fills tiles (reader.hpp),
// kernels work on them (steps/ or gates/), the epilogue writes results (epilogue.hpp). What is
// asked of an agent stands in ../agents/agent.hpp.

#include "../agents/agent.hpp"
#include "epilogue.hpp"
#include "gates/corrected/kernels.hpp"
#include "gates/corrected/summary.hpp"
#include "gates/kernels.hpp"
#include "lookahead.hpp"
#include "normaliser.hpp"
#include "segment_summary.hpp"
#include "shared_keys.hpp"
#include "state_layout.hpp"
#include "steps/kernels.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, kernel_form Form>
class matrix_agent {
  using reader = matrix_reader<R, T>;
  using epilogue = matrix_epilogue<R, T>;
  using normaliser = matrix_normaliser<R, T>;
  using shared_keys = shared_key_gradients<R, T>;
  static constexpr bool in_steps = Form == kernel_form::steps;
  static constexpr bool corrects = reader::corrects;
  using kernels = std::conditional_t<
      in_steps, step_kernels<R, T>,
      std::conditional_t<corrects, corrected_chunk_kernels<R, T>, chunk_kernels<R, T>>>;
  using summary = std::conditional_t<corrects && Form == kernel_form::segments,
                                     corrected_summary<typename reader::C, R::form.moves>,
                                     segment_summary<typename reader::C, reader::complex>>;

 public:
  using recurrence = R;
  using format = T;
  using storage = typename reader::storage;
  using C = typename reader::C;
  using problem = typename reader::problem;
  using tiles_of_gradients = typename reader::tiles_of_gradients;
  using targets = gradient_targets_of<R, T>;

  static constexpr bool complex = reader::complex;
  static constexpr bool keeps_written = corrects && !in_steps;
  static constexpr kernel_form form = Form;
  static constexpr bool scans = true, adjoint_scans = true;
  // The chunks are those of `preferences`: forward GLA with K = V = 128, 8 heads took 30.4 / 31.9 /
  // 31.3 / 39.3 ms with 16 / 32 / 48 / 64 tokens, with K = V = 64, 12 heads 16.0 / 18.2 / 22.8 /
  // 23.2 ms, backward with K = V = 128 185 / 159 / 159 / 186 ms: its states at chunk starts leave
  // the caches (one core, AVX2, L 2048).
  static preferences preferred(const problem& p) {
    preferences best;
    const index_t numbers = p.n.keys * p.n.values;
    if constexpr (corrects) {
      if (numbers <= tuning.corrected_in_single_subchunks) best.backward_chunk = subchunk_tokens;
    } else {
      const bool shared = reader::may_have_head_gate && has_head_gate<R>(p.x);
      const auto& worth = complex  ? tuning.chunks_of_rotating_gates
                          : shared ? tuning.chunks_of_head_gates
                                   : tuning.chunks_of_key_gates;
      best.chunks_pay_forward = numbers >= worth.forward;
      best.chunks_pay_backward = numbers >= worth.backward;
      const auto& most = complex ? worth : tuning.chunks_of_key_gates;
      best.chunks_always_pay_forward = numbers >= most.forward;
      best.chunks_always_pay_backward = numbers >= most.backward;
    }
    return best;
  }
  static constexpr bool simple_output = epilogue::simple_output;

  static bool retreat_reads_states(const problem& p) {
    return corrects || !has_linear_output<R> || p.normalised;
  }

  static index_t value_blocks(const sizes&) { return 1; }
  static schedule adapt(const schedule& how) { return how; }
  /// Without a key or value axis, the lanes of a register are added up when the tile is flushed.
  template <class S>
  static bool adds_lanes(const operand<S>& to) {
    return to.key == 0 && to.value == 0;
  }

  matrix_agent(arena& scratch, const problem& p, const schedule& how, bool backward)
      : matrix_agent(scratch, p, backward ? how.backward_chunk : how.forward_chunk, backward) {}

  index_t state_size() const { return states_.size; }
  index_t summary_size() const { return summary_.size(); }
  index_t key_pitch() const { return states_.n.key_pitch; }
  index_t value_pitch() const { return states_.n.padded_values; }
  index_t first_value() const { return 0; }
  index_t value_count() const { return states_.n.values; }
  index_t head() const { return reader_.head(); }
  index_t batch() const { return reader_.batch(); }
  index_t sequence() const { return reader_.sequence(); }

  void seek(index_t sequence, index_t head, index_t) {
    reader_.seek(sequence, head);
    lookahead_.seek();
  }
  /// What the chunk after the one that comes now works on, where that is not the same head.
  void comes_next(index_t head, index_t token) { lookahead_.comes_next(head, token); }

  template <class S>
  void load_state(const state_operands<S>& from, C* state) const {
    states_.load(from, sequence(), head(), state);
  }
  void store_state(const state_operands<C>& to, C* state) const {
    if (to.given) leave_frame(state);
    states_.store(to, sequence(), head(), state);
  }
  gradient_tile<C> state_tile(C* state) const { return states_.tile(state); }
  gradient_tile<C> normaliser_tile(C* state) const { return states_.normaliser_tile(state); }
  index_t normaliser_values() const { return 1; }
  /// The state as it stands, for what knows nothing of rotating frames.
  void leave_frame(C* state) const {
    if constexpr (!in_steps) kernels_.leave_frame(states_.n, state);
  }

  /// Before backward: the state that the chunk after the one that comes now starts from.
  void comes_before(const C* state) { state_before_ = state; }
  static index_t heads_that_share(const problem& p, const backward_results<R, T>& r, index_t head) {
    return shared_keys::heads(p, r, head);
  }
  template <class Fields>
  static bool is_shared(const Fields& all, const void* one) {
    return shared_keys::is_shared(all, one);
  }
  void shares(bool first, bool last) { shared_keys_.begin(first, last); }

  /// Results of tokens [t, t + count) and the state after them.
  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    const auto result = to.out.of_head(batch(), head(), 0);
    const bool streaming = epilogue::streams(reader_, result);
    lookahead_.look_ahead(reader_, t, count);
    if (!streaming) lookahead_.add(reader_, result, t, count);
    kernels_.forward(reader_, t, chunk(count, in), out);
    divide(t, count);
    epilogue::write_outputs(reader_, result, t, count, streaming);
  }
  /// The state after the tokens only.
  void advance(index_t t, index_t count, const C* in, C* out) {
    lookahead_.template look_ahead<kernels::reads_queries_to_advance>(reader_, t, count);
    kernels_.advance(reader_, t, chunk(count, in), out);
  }
  /// The same on the way to backward, where a transition is corrected: what backward reads of the
  /// chunk is left behind the state.
  void keep(index_t t, index_t count, C* kept, C* out) {
    lookahead_.template look_ahead<kernels::reads_queries_to_advance>(reader_, t, count);
    kernels_.keep(reader_, t, chunk(count, kept), kept + states_.size, out);
  }
  index_t kept_size() const {
    if constexpr (keeps_written) return states_.size + kernels::kept_size(states_.n, tokens_);
    return states_.size;
  }
  /// g: the gradient of the state after the tokens, whose memory is used up. Returns where that of
  /// the state before them is.
  template <class Sink>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
              index_t count, const C* in, C* g, const Sink& sink) {
    if constexpr (reader::may_have_head_gate_adjoint) reader_.note_gate_gradient(results.d);
    const auto d_out = results.out.of_head(batch(), head(), 0);
    read_backward<!simple_output>(d_out, t, count, in);
    lookahead_.look_back(reader_, results, d, t, count);
    if (const C* const state = std::exchange(state_before_, nullptr)) {
      lookahead_.add_state(states_.n, state);
      if (keeps_written)
        lookahead_.add_rows(state + states_.size,
                            (kept_size() - states_.size) / states_.n.value_pitch,
                            states_.n.value_pitch);
    }
    C* const g_in = kernels_.backward(reader_, chunk_that_was_kept(count, in), gradients_, g);
    const matrix_gradients<C> made = shared_keys_.add(states_.n, count, gradients_);
    for (index_t first = (count - 1) / subchunk_tokens * subchunk_tokens; first >= 0;
         first -= subchunk_tokens) {
      const index_t some = std::min<index_t>(subchunk_tokens, count - first);
      sink.open(t + first, some);
      const auto collect = [&]<bool HeadGate>() {
        epilogue::template collect<HeadGate>(reader_, d_out, made, d, t, first, some,
                                             shared_keys_.hands_on());
      };
      if constexpr (!reader::may_have_head_gate_adjoint)
        collect.template operator()<false>();
      else if (reader_.has_head_gate())
        collect.template operator()<true>();
      else
        collect.template operator()<false>();
      sink.close(t + first, some);
    }
    return g_in;
  }
  /// The gradient of the state before the tokens only, in the place of that after them. `in` is
  /// read where the output's adjoint needs o.
  void retreat(const backward_results<R, T>& results, index_t t, index_t count, const C* in, C* g) {
    read_backward<!has_linear_output<R>>(results.out.of_head(batch(), head(), 0), t, count, in);
    copy_numbers(next_state_, g, states_.size);
    lookahead_.clear();
    kernels_.retreat(reader_, chunk_that_was_kept(count, in), gradients_, next_state_, g);
  }

  // The summary of a segment (segment_summary.hpp, gates/corrected/summary.hpp).
  void clear_summary(C* product) const { summary_.clear(product); }
  void extend_summary(C* product, index_t count) const {  // by the chunk advanced last
    summary_.extend(product, kernels_, reader_, count);
  }
  /// out = product in + local; false where that is not finite and has to be found token by token.
  bool apply_summary(const C* product, const C* local, const C* in, C* out) const {
    kernels_.enter_frame(states_.n, out);
    return summary_.apply(product, local, in, out, false);
  }
  bool forgets(const C* product, C bound) const { return summary_.forgets(product, bound); }
  bool same_state(const C* x, const C* y) const { return states_.same(x, y); }
  bool apply_summary_adjoint(const C* product, const C* local, const C* in, C* out) const {
    return summary_.apply(product, local, in, out, true);
  }

 private:
  matrix_agent(arena& scratch, const problem& p, index_t tokens, bool backward)
      : reader_(scratch, p, shape_of(p, backward), tokens),
        kernels_(scratch, reader_, tokens, backward),
        states_{reader_.shape(),
                reader_.shape().state_size() + kernels_.size_behind_state(reader_.shape())},
        summary_(scratch, reader_.shape(), tokens),
        tokens_(tokens) {
    if (!backward) return;
    gradients_ = matrix_gradients<C>(scratch, states_.n, tokens, R::form);
    next_state_ = scratch.take<C>(states_.size);
    if (reader_.shares_keys()) shared_keys_ = {scratch, states_.n, tokens};
  }
  static matrix_shape shape_of(const problem& p, bool backward) {
    const bool two_parts =
        std::is_same_v<C, double> || (complex && (backward || Form == kernel_form::segments));
    return matrix_shape::of<C>(p.n.keys, p.n.values, complex, !in_steps && two_parts, p.normalised);
  }
  bool normalises() const { return R::form.normaliser && reader_.whole().normalised; }
  void divide(index_t t, index_t count) const {  // o, which the kernels have left
    if constexpr (R::form.normaliser)
      if (normalises()) normaliser::divide(reader_, t, count);
  }
  token_chunk<C> chunk(index_t count, const C* in) {
    return {reader_.tiles(), count, in, lookahead_.memory(), nullptr, same_keys_, nullptr};
  }
  token_chunk<C> chunk_that_was_kept(index_t count, const C* in) {
    token_chunk<C> c = chunk(count, in);
    if (keeps_written) c.written = in + states_.size;
    return c;
  }
  template <bool NeedsOutput>
  void read_backward(const operand<const storage>& d_out, index_t t, index_t count, const C* in) {
    const bool same_keys = kernels_.read(reader_, t, count);
    same_keys_ = same_keys && shared_keys_.follows();
    if (NeedsOutput || normalises())  // the state after the tokens is known, or of no interest
      kernels_.compute(reader_, chunk(count, in), in_steps ? next_state_ : nullptr);
    divide(t, count);
    epilogue::read_output_gradients(reader_, d_out, t, count, gradients_);
    if constexpr (R::form.normaliser)
      if (normalises()) normaliser::divide_gradients(reader_, t, count, gradients_.d_o);
  }

  reader reader_;
  kernels kernels_;
  state_layout<C, complex> states_;
  summary summary_;
  index_t tokens_;  // of the longest chunk
  matrix_lookahead<R, T> lookahead_{};
  shared_keys shared_keys_{};
  bool same_keys_ = false;  // in backward: q and k are those of the chunk before
  matrix_gradients<C> gradients_{};
  C* next_state_ = nullptr;
  const C* state_before_ = nullptr;
};

template <class R, class T, kernel_form Form>
inline constexpr bool heads_go_together<matrix_agent<R, T, Form>> = true;
template <class R, class T, kernel_form Form>
inline constexpr bool keeps_more_than_states<matrix_agent<R, T, Form>> =
    matrix_agent<R, T, Form>::keeps_written;
template <class R, class T, kernel_form Form>
inline constexpr bool sees_state_before<matrix_agent<R, T, Form>> = true;
template <class R, class T, kernel_form Form>
inline constexpr bool adds_up_shared_gradients<matrix_agent<R, T, Form>> =
    Form != kernel_form::steps&& shared_key_gradients<R, T>::possible;
template <class R, class T, kernel_form Form>
inline constexpr bool says_what_retreat_reads<matrix_agent<R, T, Form>> = true;
template <class R, class T, kernel_form Form>
inline constexpr bool states_in_frame<matrix_agent<R, T, Form>> = true;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
