#pragma once
// Matrix states whose recurrence is lowered to rows: its prologue, then programs on rows, then its
// epilogue; backward the adjoints of both round those of the rows. Before the prologue weights in
// log space are found, if it has those. With a normaliser rows have one value more, and so have the
// states that programs of rows work on: a state's parts are joined before and parted after.

#include <type_traits>

#include "../corrected/runner.hpp"
#include "../runner.hpp"
#include "state_columns.hpp"
#include "token_weights.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class R, class T>
class lowered_runner {
  using config = matrix::tile_config<R, T>;
  using C = typename config::C;
  using S = typename config::S;
  static constexpr bool corrected = R::form.moves != transition::diagonal;
  // o goes straight to the output
  static constexpr bool exclusive = matrix::row_layout<R>::exclusive;
  static constexpr bool differ = matrix::row_layout<R>::differ;  // rows from tokens
  static constexpr bool plain =
      !matrix::output_gradient<R, T>::needs_o && !differ && std::is_same_v<S, C>;
  // 16 bits that are multiplied on matrix units: their rows are, too
  static constexpr bool splits = !corrected && sizeof(S) == 2 && std::is_same_v<C, float>;
  using rows_format =
      std::conditional_t<is_tf32<T>, with_tf32<C>, std::conditional_t<splits, in_parts<C>, C>>;
  using product = matrix::row_product;

  using rows_runner = std::conditional_t<corrected, corrected_runner<rows_format, R::form.moves>,
                                         matrix_runner<product, rows_format>>;

 public:
  using format = T;

  lowered_runner(const problem_of<R, T>& p, const schedule& how)
      : p_(p), how_(how), layout_(p), rows_problem_(lowered()), runs_([&] {
          if constexpr (corrected)
            return rows_runner(rows_problem_, rows_, how);
          else
            return rows_runner(rows_problem_, how);
        }()) {}

  static preferences preferred(const sizes& n) { return rows_runner::preferred(n); }
  schedule as_it_runs() const { return runs_.as_it_runs(); }

  void lay_out_forward(arena& memory) {
    if (nothing()) return;
    take_rows(memory);
    if (!plain || layout_.normalised()) o_ = matrix::take_value_rows<C>(memory, layout_.of_rows());
    runs_.lay_out_forward(memory);
  }
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) const {
    if (nothing()) return;
    make_rows(gpu, nullptr, to.final_state.log_scale);
    if constexpr (plain)
      if (!layout_.normalised()) return rows_forward(gpu, to.out, to.final_state);
    const auto o = to.out.given ? matrix::value_rows(o_, layout_.of_rows()) : operand<C>{};
    if (layout_.normalised()) {
      const auto& state = to.final_state;
      const bool wanted = state.given || state.normaliser.given;
      rows_forward(gpu, o, wanted ? matrix::state_columns(state_, p_.n) : operand<C>{});
      if (wanted) launch(gpu, matrix::part_state<C>{{p_.n}, state_, state, state.normaliser});
    } else {
      rows_forward(gpu, o, to.final_state);
    }
    if (to.out.given) launch(gpu, matrix::epilogue<R, T>{{p_, layout_}, {o_, own_scores_}, to.out});
  }

  void lay_out_backward(arena& memory, const backward_results<R, T>& r) {
    if (nothing()) return;
    take_rows(memory);
    if (needs_o()) {
      o_ = matrix::take_value_rows<C>(memory, layout_.of_rows());
      runs_.lay_out_forward(memory);
    }
    d_o_ = matrix::take_value_rows<C>(memory, layout_.of_rows());
    d_rows_.take(memory, layout_.of_rows());
    chunks_ = time_split(p_.n, p_.offsets, config::tokens);
    gradients_ = matrix::gradient_stores<R, T>(p_, r.d, chunks_);
    gradients_.take(memory);
    if (corrected || layout_.normalised()) {
      d_initial_ = gradient_sink<C, C>(r.initial_state, R::state_axes, p_.n, chunks_.packed, 1);
      d_initial_.take(memory);
    }
    if (layout_.normalised()) {
      d_normaliser_ = gradient_sink<C, C>(r.initial_state.normaliser, matrix::normaliser_axes, p_.n,
                                          chunks_.packed, 1);
      d_normaliser_.take(memory);
      d_state_ = memory.take<C>(matrix::state_numbers(p_.n));
      d_final_ = memory.take<C>(matrix::state_numbers(p_.n));
    }
    if constexpr (corrected) {
      d_rows_.take_of_p(memory, layout_.of_rows(), rows_runner::leaves_p_apart(how_));
      runs_.lay_out_backward(memory, d_initial_, d_rows_);
    } else {
      runs_.lay_out_backward(memory, of_rows(r));
    }
  }
  template <class Device>
  void backward(const Device& gpu, const backward_results<R, T>& r) const {
    if (nothing()) return;
    make_rows(gpu, d_o_, {});
    if (needs_o()) rows_forward(gpu, matrix::value_rows(o_, layout_.of_rows()), {});
    const matrix::outputs_of_rows<R, C> o{needs_o() ? o_ : nullptr, own_scores_};
    launch(gpu, matrix::epilogue_adjoint<R, T>{{p_, layout_}, o, r.out, d_o_});
    if constexpr (corrected) {
      runs_.backward(gpu, d_o_, r.final_state);
      add_partial_sums(gpu, d_initial_, p_.n, chunks_.packed);
    } else if (layout_.normalised()) {
      launch(gpu, matrix::join_state<C>{{p_.n}, r.final_state, r.final_state.normaliser, d_final_});
      runs_.backward(gpu, of_rows(r));
      launch(gpu, matrix::part_state_gradient<C>{{p_.n}, d_state_, d_initial_, d_normaliser_});
      add_partial_sums(gpu, d_initial_, p_.n, chunks_.packed);
      add_partial_sums(gpu, d_normaliser_, p_.n, chunks_.packed);
    } else {
      runs_.backward(gpu, of_rows(r));
    }
    launch(gpu, matrix::prologue_adjoint<R, T>{p_, layout_, chunks_, r.out, o, d_o_, d_rows_,
                                               gradients_});
    gradients_.add_up(gpu, p_.n);
  }

 private:
  bool nothing() const { return p_.n.values == 0 || p_.n.keys == 0; }
  bool needs_o() const { return matrix::output_gradient<R, T>::needs_o || layout_.normalised(); }
  problem_of<product, rows_format> lowered() const {
    auto p =
        matrix::problem_of_rows<rows_format>(layout_.of_rows(), layout_.offsets_of_rows(), rows_);
    p.initial_state = p_.initial_state;
    if constexpr (splits)  // of others no program asks
      if (has_head_gate<R>(p_.x)) p.x.gate.key = 0, p.x.gate.one_key = true;
    if (layout_.normalised()) p.initial_state = {matrix::state_columns<const C>(state_, p_.n)};
    return p;
  }
  void take_rows(arena& memory) {
    const sizes n = layout_.of_rows();
    rows_.q = matrix::take_key_rows<C>(memory, n), rows_.k = matrix::take_key_rows<C>(memory, n);
    rows_.gate = matrix::take_key_rows<C>(memory, n);
    if (corrected) rows_.p = matrix::take_key_rows<C>(memory, n);
    rows_.v = matrix::take_value_rows<C>(memory, n);
    if (exclusive) own_scores_ = memory.take<C>(matrix::row_count(p_.n));
    layout_.take(memory);
    p_.weights = matrix::take_token_weights<R, T>(memory, p_.n);
    if (layout_.normalised()) state_ = memory.take<C>(matrix::state_numbers(p_.n));
    rows_problem_ = lowered();
  }
  template <class Device>
  void make_rows(const Device& gpu, C* d_o, const operand<C>& last_log_scale) const {
    if constexpr (has_log_weights<R>)
      launch(gpu, matrix::find_token_weights<R, T>{p_, layout_.sequences, last_log_scale});
    if (layout_.normalised())
      launch(gpu,
             matrix::join_state<C>{{p_.n}, p_.initial_state, p_.initial_state.normaliser, state_});
    launch(gpu, matrix::prologue<R, T>{{p_, layout_}, rows_, own_scores_});
    if constexpr (differ) launch(gpu, matrix::rows_between<R, T>{layout_, rows_, d_o});
  }
  template <class Device>
  void rows_forward(const Device& gpu, const operand<C>& out, const operand<C>& state) const {
    if constexpr (corrected) {
      runs_.forward(gpu, out, state);
    } else {
      forward_results<rows_format> to;
      to.out = out;
      static_cast<operand<C>&>(to.final_state) = state;
      runs_.forward(gpu, to);
    }
  }
  backward_results<product, rows_format> of_rows(const backward_results<R, T>& r) const {
    backward_results<product, rows_format> to;
    const sizes n = layout_.of_rows();
    to.out = matrix::value_rows<const C>(d_o_, n);
    if (layout_.normalised()) {
      to.final_state = {matrix::state_columns<const C>(d_final_, p_.n)};
      if (r.initial_state.given || r.initial_state.normaliser.given)
        to.initial_state = {matrix::state_columns(d_state_, p_.n)};
    } else {
      to.final_state = r.final_state, to.initial_state = r.initial_state;
    }
    to.d.q = matrix::key_rows(d_rows_.of.q, n), to.d.k = matrix::key_rows(d_rows_.of.k, n);
    to.d.gate = matrix::key_rows(d_rows_.of.gate, n);
    to.d.v = matrix::value_rows(d_rows_.of.v, n);
    return to;
  }

  problem_of<R, T> p_;
  schedule how_;
  matrix::row_layout<R> layout_;
  time_split chunks_{};
  matrix::token_rows<C> rows_{};
  // with a normaliser: the state, and gradients of the first and the last one
  C *state_ = nullptr, *d_state_ = nullptr, *d_final_ = nullptr;
  problem_of<product, rows_format> rows_problem_;
  rows_runner runs_;
  C *o_ = nullptr, *d_o_ = nullptr, *own_scores_ = nullptr;
  matrix::row_gradients<C> d_rows_{};
  matrix::gradient_stores<R, T> gradients_{};
  gradient_sink<C, C> d_initial_{}, d_normaliser_{};
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
