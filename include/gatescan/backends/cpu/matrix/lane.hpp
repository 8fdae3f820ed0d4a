#pragma once
// One head of a matrix-state recurrence: the recurrence's prologue fills tiles, the core works on
// them, the epilogue writes results. The driver (../driver.hpp) decides which runs of tokens are
// worked on, where and when.

#include "../agent.hpp"
#include "chunk_adjoint.hpp"
#include "reader.hpp"
#include "shared_gate_adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, kernel_form Form>
class matrix_agent : public matrix_reader<R, T> {
  using base = matrix_reader<R, T>;
  using base::ahead_;
  using base::b_;
  using base::blocks_;
  using base::h_;
  using base::n_;
  using base::p_;
  using base::reads_quads_;
  using base::s_;
  using base::shared_;
  using base::tiles_;
  using base::values_;
  using base::x_;

  using base::adjoint_shares_gates;
  using base::can_share_gates;
  using base::for_each_value;
  using base::keys_at;
  using base::load;
  using base::load_run;
  using base::look_back;
  using base::masked;
  using base::reads_query_apart;
  using base::shares_gates;
  using base::values_at;
  using base::values_row;
  using base::width;
  using typename base::key_cursor;
  using typename base::operands_type;
  using typename base::quad;
  using typename base::register_type;
  using typename base::value_cursor;
  using typename base::values_type;

 public:
  using base::complex;
  using typename base::C;
  using typename base::problem;
  using typename base::storage;
  using typename base::tiles_of_gradients;
  using targets = typename R::template fields<gradient_target<C, storage>>;

  using recurrence = R;
  using format = T;
  static constexpr kernel_form form = Form;
  static constexpr bool scans = true, adjoint_scans = true;
  // Forward GLA with K = V = 128, 8 heads took 30.4 / 31.9 / 31.3 / 39.3 ms with 16 / 32 / 48 / 64
  // tokens, with K = V = 64, 12 heads 16.0 / 18.2 / 22.8 / 23.2 ms, backward with K = V = 128
  // 185 / 159 / 159 / 186 ms: its states at chunk starts leave the caches (one core, AVX2, L 2048).
  static constexpr preferences best_chunks{};
  static constexpr bool simple_output =
      std::is_base_of_v<plain_output, R>;  // d_o does not depend on o

  static index_t value_blocks(const sizes&) { return 1; }
  static schedule adapt(const schedule& plan) { return plan; }
  /// Without a key or value axis, the lanes of a register are added up when the tile is flushed.
  static bool adds_lanes(const operand<storage>& to) { return to.key == 0 && to.value == 0; }

  matrix_agent(arena& scratch, const problem& p, const schedule& plan, bool backward)
      : base(scratch, p, shape_of(p, plan, backward), plan.form != kernel_form::steps,
             backward ? plan.backward_chunk : plan.forward_chunk),
        in_frame_(turns && blocks_ && !backward) {
    const index_t tokens = backward ? plan.backward_chunk : plan.forward_chunk;
    if (blocks_) chunk_ = chunk_scratch<C>(scratch, n_, tokens);
    if (blocks_ && can_share_gates && (!backward || adjoint_shares_gates))
      shared_ = shared_gates<C>(scratch, n_, tokens);
    if (!backward) {
      if (in_frame_) frame_ = turning_frame<C>(scratch, n_);
      return;
    }
    gradients_ = matrix_gradients<C>(scratch, n_, tokens);
    next_state_ = scratch.take<C>(n_.state_size());
    if (blocks_)
      adjoint_ = chunk_adjoint_scratch<C>(scratch, n_, tokens);
    else
      replay_ = steps_adjoint_scratch<C>(scratch, tokens, complex);
    if (blocks_ && adjoint_shares_gates)
      shared_adjoint_ = shared_adjoint_scratch<C>(scratch, n_, tokens);
  }

  index_t state_size() const { return n_.state_size() + (in_frame_ ? frame_.size(n_) : 0); }
  index_t summary_size() const { return 2 * n_.rows; }
  index_t key_pitch() const { return n_.key_pitch; }
  index_t value_pitch() const { return n_.value_pitch; }
  index_t first_value() const { return 0; }
  index_t value_count() const { return n_.values; }

  template <class S>
  void load_state(const operand<S>& from, C* state) const {
    fill(state, state_size(), C(0));
    if (!from.given) return;
    const index_t at = from.offset(s_, 0, h_);
    for (index_t i = 0; i < n_.keys; ++i) {
      C* row = state + i * n_.state_pitch;
      copy_numbers(row, 1, from.re + at + i * from.key, from.value, n_.values);
      if (complex && from.im != nullptr)
        copy_numbers(row + n_.key_pitch * n_.state_pitch, 1, from.im + at + i * from.key,
                     from.value, n_.values);
    }
  }
  /// The state as it stands, for what knows nothing of frames.
  void leave_frame(C* state) const {
    if (in_frame_) frame_.leave(n_, state);
  }
  void store_state(const operand<C>& to, C* state) const {
    if (!to.given) return;
    leave_frame(state);
    const index_t at = to.offset(s_, 0, h_);
    for (index_t i = 0; i < n_.keys; ++i) {
      const C* row = state + i * n_.state_pitch;
      copy_numbers(to.re + at + i * to.key, to.value, row, 1, n_.values);
      if (complex && to.im != nullptr)
        copy_numbers(to.im + at + i * to.key, to.value, row + n_.key_pitch * n_.state_pitch, 1,
                     n_.values);
    }
  }
  gradient_tile<C> state_tile(C* state) const {
    return {state, complex ? state + n_.key_pitch * n_.state_pitch : nullptr, 0, n_.state_pitch, 1,
            true};
  }

  /// Results of tokens [t, t + count) and the state after them.
  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    const bool straight = this->reads_from_operands(count);
    if (straight)
      this->load_values(t, count);
    else
      load_run(t, count);
    this->look_ahead(t, count);
    const auto result = to.out.of_head(b_, h_, 0);
    const bool streaming = streams(result);
    if (!streaming) ahead_.add(result, t, t + count, n_.keys, n_.values);
    if (straight)
      chunk_forward<complex, turns>(tiles_, this->from_operands(t, count), count, in, out, chunk_,
                                    ahead_, frame_);
    else
      compute<turns>(count, in, out);
    write_out(result, t, count, streaming);
  }
  /// One token on the caller's own state, where that is laid out as the kernels need it.
  bool step_in_place(const forward_results<T>& to, index_t t) {
    const auto& from = p_->initial_state;
    const auto& state = to.final_state;
    if (blocks_ || !state.given || from.re != state.re || from.im != state.im ||
        from.key != state.key || from.value != state.value || from.head != state.head ||
        from.batch != state.batch || state.value != 1 || n_.values != n_.value_pitch ||
        complex != (state.im != nullptr))
      return false;
    load(t, 1);
    const index_t at = state.offset(s_, 0, h_);
    step_token<complex>(tiles_, 0, {state.re + at, complex ? state.im + at : nullptr, state.key});
    write_out(to.out.of_head(b_, h_, 0), t, 1, false);
    return true;
  }
  /// The state after the tokens only.
  void advance(index_t t, index_t count, const C* in, C* out) {
    const auto read = [&]<bool Queries>() {
      this->template load_run<Queries>(t, count);
      this->template look_ahead<Queries>(t, count);
    };
    if (blocks_)
      read.template operator()<!reads_query_apart>();
    else
      read.template operator()<true>();
    if (in_frame_) frame_.reset(n_, out);
    if constexpr (can_share_gates)
      if (shares_gates())
        return chunk_advance_shared(tiles_, shared_, count, in, out, chunk_, ahead_);
    if (blocks_) return chunk_advance<complex>(tiles_, count, in, out, chunk_, ahead_);
    ahead_.begin(blocks_of_state<complex, C>(n_));
    steps_forward<complex>(tiles_, count, in, out, prefetching{&ahead_});
  }
  /// g: gradient of the state after the tokens, whose memory is used up. Returns where the gradient
  /// of the state before them is.
  template <class Sink>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
              index_t count, const C* in, C* g, const Sink& sink) {
    if constexpr (adjoint_shares_gates) this->note_gate_gradient(results.d);
    load_run(t, count);
    load_output_gradient(results.out.of_head(b_, h_, 0), t, count, in);
    look_back(results, d, t, count);
    compute_adjoint(count, in, g);
    const auto add = [&]<bool Shared>() {
      for (index_t first = (count - 1) / block_tokens * block_tokens; first >= 0;
           first -= block_tokens)
        add_gradients<Shared>(results.out.of_head(b_, h_, 0), d, t, first,
                              std::min<index_t>(block_tokens, count - first), sink);
    };
    if (adjoint_shares_gates && shares_gates())
      add.template operator()<adjoint_shares_gates>();
    else
      add.template operator()<false>();
    return g;
  }
  /// The gradient of the state before the tokens only. `in` is read where the output's adjoint
  /// needs o.
  void retreat(const backward_results<R, T>& results, index_t t, index_t count, const C* in, C* g) {
    load_run(t, count);
    load_output_gradient(results.out.of_head(b_, h_, 0), t, count, in);
    copy_numbers(next_state_, g, n_.state_size());
    ahead_.clear();
    if constexpr (adjoint_shares_gates)
      if (shares_gates()) {
        decays_from_start(shared_, count);
        set_products(n_, shared_, shared_.from_start[count - 1], chunk_);
        incoming_gradient_shared(tiles_, shared_, count, gradients_.d_o, next_state_, g, chunk_,
                                 prefetching{&ahead_});
        return;
      }
    decay_queries<complex>(tiles_, count, chunk_);
    incoming_gradient<complex>(tiles_, count, gradients_.d_o, next_state_, g, chunk_,
                               prefetching{&ahead_});
  }

  // The summary of a segment: the product of its gates, in two parts.
  void clear_summary(C* product) const {
    fill(product, summary_size(), C(0));
    fill(product, n_.key_pitch, C(1));
  }
  void extend_summary(C* product, index_t) const {  // by the run advanced last
    multiply_products<complex>(product, product + n_.rows, chunk_.gates(), n_);
  }
  /// out = product in + local; false where that is not finite and has to be found token by token.
  bool apply_summary(const C* product, const C* local, const C* in, C* out) const {
    return apply(product, local, in, out, false);
  }
  bool apply_summary_adjoint(const C* product, const C* local, const C* in, C* out) const {
    return apply(product, local, in, out, true);
  }

 private:
  // complex states in float go forward in a frame of their own (frame.hpp)
  static constexpr bool turns = complex && std::is_same_v<C, float>;
  static matrix_shape shape_of(const problem& p, const schedule& plan, bool backward) {
    const bool two_parts =
        std::is_same_v<C, double> || (complex && (backward || plan.segments > 1));
    return matrix_shape::of<C>(p.n.keys, p.n.values, complex,
                               plan.form != kernel_form::steps && two_parts);
  }
  bool apply(const C* product, const C* local, const C* in, C* out, bool conjugate) const {
    if (in_frame_) frame_.reset(n_, out);
    for_each_plane<complex>(
        n_, in, out, {product, product + n_.rows}, conjugate,
        [&](index_t first, index_t rows, auto next) {
          for (index_t i = 0; i < rows; ++i)
            for (index_t j = 0; j < n_.value_pitch; j += width) {
              const index_t place = (first + i) * n_.state_pitch + j;
              C* at = out + place;
              simd::store(at, next(i, j, simd::load(local + place)));
              if (n_.parts == 2) {
                at += n_.part_size();
                simd::store(at, simd::load(at) + simd::load(local + n_.part_size() + place));
              }
            }
        });
    return state_finite(out, n_);
  }

  template <bool Turning = false>
  void compute(index_t count, const C* in, C* out) {
    if constexpr (can_share_gates)
      if (shares_gates())
        return chunk_forward_shared(tiles_, shared_, count, in, out, chunk_, ahead_);
    if (blocks_)
      return chunk_forward<complex, Turning>(tiles_, keys_in_tiles<complex, C>{tiles_}, count, in,
                                             out, chunk_, ahead_, frame_);
    ahead_.begin(blocks_of_state<complex, C>(n_));
    steps_forward<complex>(tiles_, count, in, out, prefetching{&ahead_});
  }
  void compute_adjoint(index_t count, const C* in, C*& g) {
    if constexpr (adjoint_shares_gates)
      if (shares_gates())
        return chunk_backward_shared(tiles_, shared_, count, in, g, gradients_, chunk_, adjoint_,
                                     shared_adjoint_, ahead_);
    if (blocks_)
      chunk_backward<complex>(tiles_, count, in, g, gradients_, chunk_, adjoint_, ahead_);
    else
      steps_backward<complex>(tiles_, count, in, g, gradients_, replay_);
  }
  // A result larger than the caches goes past them, where rows are whole registers.
  bool streams(const operand<storage>& out) const {
    const index_t numbers = p_->n.batch * p_->n.time * p_->n.heads * p_->n.values;
    return simd::whole_lines && std::is_same_v<storage, C> && out.given && out.value == 1 &&
           n_.values == n_.value_pitch && exceeds_caches<C>(numbers) &&
           is_aligned(out.re, simd::stream_alignment) &&
           is_aligned(out.re + out.time, simd::stream_alignment);
  }
  void write_out(const operand<storage>& out, index_t first, index_t count, bool streaming) const {
    if (!out.given) return;
    const index_t registers = n_.value_pitch / width;
    const C* const from = tiles_.o;  // copies, as in load
    const values_type* const values = values_;
    const bool dense = out.value == 1;
    for_each_value(first, count, [=](const operands_type& x, const value_cursor& at, index_t t) {
      const index_t place = t * registers * width + at.value;
      const auto y = R::output(x, at, values[place / width], simd::load(from + place));
      storage* const to = out.re + at.t * out.time;
      if constexpr (std::is_same_v<storage, C>)
        if (streaming) return simd::stream(to + at.value, y);
      if (dense)
        simd::store(to + at.value, 1, at.count, y);
      else
        simd::store(to + at.value * out.value, out.value, at.count, y);
    });
  }

  register_type output_gradient(const operand<const storage>& d_out, const value_cursor& at) const {
    if (!d_out.given) return register_type(0);
    return masked(at(d_out), at.count, C(0));
  }
  register_type loaded_output(index_t t, index_t j) const {
    return simple_output ? register_type(0) : simd::load(tiles_.o + t * n_.value_pitch + j);
  }
  // d_o of every token; the epilogue's gradients of operands are collected later, tile by tile.
  void load_output_gradient(const operand<const storage>& d_out, index_t first, index_t count,
                            const C* in) {
    if (!simple_output) compute(count, in, next_state_);
    const operands_type x = x_;  // copies, as in load
    const matrix_shape n = n_;
    C* const to = gradients_.d_o;
    for (index_t t = 0; t < count; ++t)
      for (index_t j = 0; j < n.value_pitch; j += width) {
        const value_cursor at = values_at(first + t, j);
        values_type ignored{};
        const register_type g =
            R::output_adjoint(x, tiles_of_gradients{}, at, values_row(values_, t)[j / width],
                              ignored, loaded_output(t, j), output_gradient(d_out, at));
        simd::store(to + t * n.value_pitch + j, masked(g, at.count, C(0)));
      }
  }
  template <bool SharedGate, class Sink>
  void add_gradients(const operand<const storage>& d_out, const tiles_of_gradients& d, index_t run,
                     index_t first, index_t count, const Sink& sink) {
    sink.open(run + first, count);
    const operands_type x = x_;  // copies, as in load
    const tiles_of_gradients tiles = d;
    tiles_of_gradients key_tiles = d, gate_tiles = d;
    if constexpr (SharedGate) {
      key_tiles = R::without_gate(d);
      R::operands(
          [](const char*, const axes&, presence, auto& tile, const auto& of_keys) {
            if (of_keys.given) tile = {};
          },
          gate_tiles, key_tiles);
    }
    const matrix_shape n = n_;
    const matrix_gradients<C> from = gradients_;
    const bool quads = reads_quads_;
    for (index_t t = first; t < first + count; ++t) {
      const index_t row = t * n.rows;
      if constexpr (SharedGate) {
        key_cursor one = keys_at(run + t, 0, t - first);
        one.count = 1;
        const register_type none(0);
        R::keys_adjoint(x, gate_tiles, one,
                        keys_of<register_type>{none, none, register_type(from.da[t])});
      }
      for (index_t i = 0; quads && i < n.key_pitch; i += quad::width) {
        const auto read = [=](const C* rows) {
          return load_quad<complex>(rows + row + i, n.key_pitch);
        };
        using E = decltype(read(from.dq));
        R::keys_adjoint(x, key_tiles, quad{keys_at(run + t, i, t - first)},
                        keys_of<E>{read(from.dq), read(from.dk), SharedGate ? E{} : read(from.da)});
      }
      for (index_t i = 0; !quads && i < n.key_pitch; i += width) {
        const auto read = [=](const C* rows) {
          return load_keys<complex>(rows + row, i, n.key_pitch);
        };
        using E = decltype(read(from.dq));
        R::keys_adjoint(x, key_tiles, keys_at(run + t, i, t - first),
                        keys_of<E>{read(from.dq), read(from.dk), SharedGate ? E{} : read(from.da)});
      }
      for (index_t j = 0; j < n.value_pitch; j += width) {
        const value_cursor at = values_at(run + t, j, t - first);
        const values_type w = values_row(values_, t)[j / width];
        values_type d_w{};
        R::output_adjoint(x, tiles, at, w, d_w, loaded_output(t, j), output_gradient(d_out, at));
        d_w.v = d_w.v + simd::load(from.dv + t * n.value_pitch + j);
        R::values_adjoint(x, tiles, at, w, d_w);
      }
    }
    sink.close(run + first, count);
  }

  bool in_frame_;
  chunk_scratch<C> chunk_{};
  turning_frame<C> frame_{};
  shared_adjoint_scratch<C> shared_adjoint_{};
  matrix_gradients<C> gradients_{};
  chunk_adjoint_scratch<C> adjoint_{};
  steps_adjoint_scratch<C> replay_{};
  C* next_state_ = nullptr;
};

template <class R, class T, kernel_form Form>
inline constexpr bool steps_in_place<matrix_agent<R, T, Form>> = true;
template <class R, class T, kernel_form Form>
inline constexpr bool heads_go_together<matrix_agent<R, T, Form>> = true;
template <class R, class T, kernel_form Form>
inline constexpr bool states_in_frame<matrix_agent<R, T, Form>> = true;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
