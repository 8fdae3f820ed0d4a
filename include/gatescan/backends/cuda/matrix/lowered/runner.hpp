#pragma once
// Matrix states whose recurrence is lowered to rows: its prologue, then programs on rows, then its
// epilogue; backward the adjoints of both round those of the rows.

#include <type_traits>

#include "../corrected/runner.hpp"
#include "../runner.hpp"

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
  static constexpr bool needs_o = matrix::output_gradient<R, T>::needs_o;
  // o goes straight to the output
  static constexpr bool exclusive = matrix::row_layout<R>::exclusive;
  static constexpr bool differ = matrix::row_layout<R>::differ;  // rows from tokens
  static constexpr bool plain = !needs_o && !differ && std::is_same_v<S, C>;
  using rows_format = std::conditional_t<is_tf32<T>, with_tf32<C>, C>;
  using product = matrix::row_product;

  using rows_runner = std::conditional_t<corrected, corrected_runner<rows_format, R::form.moves>,
                                         matrix_runner<product, rows_format>>;

 public:
  using format = T;

  lowered_runner(const problem_of<R, T>& p, const schedule& how)
      : p_(p), how_(how), layout_(p.n, p.offsets), rows_problem_(lowered()), runs_([&] {
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
    if (!plain) o_ = matrix::take_value_rows<C>(memory, layout_.of_rows());
    runs_.lay_out_forward(memory);
  }
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) const {
    if (nothing()) return;
    make_rows(gpu, nullptr);
    if constexpr (plain) return rows_forward(gpu, to.out, to.final_state);
    rows_forward(gpu, to.out.given ? matrix::value_rows(o_, layout_.of_rows()) : operand<C>{},
                 to.final_state);
    if (to.out.given) launch(gpu, matrix::epilogue<R, T>{{p_, layout_}, {o_, own_scores_}, to.out});
  }

  void lay_out_backward(arena& memory, const backward_results<R, T>& r) {
    if (nothing()) return;
    take_rows(memory);
    if (needs_o) {
      o_ = matrix::take_value_rows<C>(memory, layout_.of_rows());
      runs_.lay_out_forward(memory);
    }
    d_o_ = matrix::take_value_rows<C>(memory, layout_.of_rows());
    d_rows_.take(memory, layout_.of_rows());
    chunks_ = time_split(p_.n, p_.offsets, config::tokens);
    gradients_ = matrix::gradient_stores<R, T>(p_, r.d, chunks_);
    gradients_.take(memory);
    if constexpr (corrected) {
      d_initial_ = gradient_sink<C, C>(r.initial_state, R::state_axes, p_.n, chunks_.packed, 1);
      d_initial_.take(memory);
      d_rows_.take_of_p(memory, layout_.of_rows(), rows_runner::leaves_p_apart(how_));
      runs_.lay_out_backward(memory, d_initial_, d_rows_);
    } else {
      runs_.lay_out_backward(memory, of_rows(r));
    }
  }
  template <class Device>
  void backward(const Device& gpu, const backward_results<R, T>& r) const {
    if (nothing()) return;
    make_rows(gpu, d_o_);
    if (needs_o) rows_forward(gpu, matrix::value_rows(o_, layout_.of_rows()), {});
    const matrix::outputs_of_rows<R, C> o{needs_o ? o_ : nullptr, own_scores_};
    launch(gpu, matrix::epilogue_adjoint<R, T>{{p_, layout_}, o, r.out, d_o_});
    if constexpr (corrected) {
      runs_.backward(gpu, d_o_, r.final_state);
      add_partial_sums(gpu, d_initial_, p_.n, chunks_.packed);
    } else {
      runs_.backward(gpu, of_rows(r));
    }
    launch(gpu, matrix::prologue_adjoint<R, T>{p_, layout_, chunks_, r.out, o, d_o_, d_rows_,
                                               gradients_});
    gradients_.add_up(gpu, p_.n);
  }

 private:
  bool nothing() const { return p_.n.values == 0 || p_.n.keys == 0; }
  problem_of<product, rows_format> lowered() const {
    auto p =
        matrix::problem_of_rows<rows_format>(layout_.of_rows(), layout_.offsets_of_rows(), rows_);
    p.initial_state = p_.initial_state;
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
    rows_problem_ = lowered();
  }
  template <class Device>
  void make_rows(const Device& gpu, C* d_o) const {
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
    to.final_state = r.final_state, to.initial_state = r.initial_state;
    to.d.q = matrix::key_rows(d_rows_.of.q, n), to.d.k = matrix::key_rows(d_rows_.of.k, n);
    to.d.gate = matrix::key_rows(d_rows_.of.gate, n);
    to.d.v = matrix::value_rows(d_rows_.of.v, n);
    return to;
  }

  const problem_of<R, T>& p_;
  schedule how_;
  matrix::row_layout<R> layout_;
  time_split chunks_{};
  matrix::token_rows<C> rows_{};
  problem_of<product, rows_format> rows_problem_;
  rows_runner runs_;
  C *o_ = nullptr, *d_o_ = nullptr, *own_scores_ = nullptr;
  matrix::row_gradients<C> d_rows_{};
  matrix::gradient_stores<R, T> gradients_{};
  gradient_sink<C, C> d_initial_{};
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
