// What the recurrences with a state [keys, values] a head have in common as layers: queries, keys
// and values are convolved columns, gates and the z of the output stage plain ones.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

#include "gated_head_norm.hpp"
#include "kernel.hpp"
#include "mixer.hpp"

namespace char_lm {

/// Columns of a matrix [tokens, columns] as operands of all tokens, or of the one that it has.
class operand_columns {
 public:
  operand_columns(const extent& size, index heads, bool one_token)
      : size_(size), heads_(heads), one_token_(one_token) {}

  /// `width` columns of each head, from column `first` on.
  template <class Matrix>
  auto of_heads(Matrix& m, index first, index width) const {
    const auto all = head_columns(m, size_, first, heads_, width);
    return one_token_ ? decltype(all){all.data, {1, heads_, width}} : all;
  }
  /// A column a head.
  template <class Matrix>
  auto numbers(Matrix& m, index first) const {
    const auto all = columns(m, size_, first, heads_);
    return one_token_ ? decltype(all){all.data, {1, heads_}} : all;
  }

 private:
  extent size_;
  index heads_;
  bool one_token_;
};

/// Mixer says what its gates are:
///   index gate_columns() const                   plain columns that they are made of
///   void make_gates(const matrix& plain)         sets gates_ from them
///   void give_gates(auto& x, auto& gates, const operand_columns& at) const
///                                                sets operands, or gradients, to their columns
///   void give_options(inputs& x) const           sets switches, and operands without a gradient
///   void gates_backward(plain, d_plain) const    sets d_plain's columns from d_gates_
/// and, where queries, keys and values have other names than q, k and v:
///   static void give_rows(auto& x, q, k, v)
template <class Mixer, class Recurrence>
class matrix_mixer : public mixer {
 public:
  matrix_mixer(blueprint& b, index width, index heads)
      : heads_(heads),
        keys_(std::max<index>(1, width / (2 * heads))),
        values_(width / heads),
        finish_(b, heads, values_) {}

  mixer_columns columns_wanted() const override {
    return {.convolved = 2 * all_keys() + all_values(),
            .plain = self().gate_columns() + all_values(),
            .out = all_values()};
  }
  void plan(const extent& size, const execution& how) override {
    size_ = size;
    kernel_ = kernel<Recurrence>(how, problem());
  }

  void forward(const flat& theta, const matrix& convolved, const matrix& plain,
               matrix& out) override {
    self().make_gates(plain);
    o_.resize(plain.rows(), all_values());
    kernel_.forward(inputs(convolved), {.out = whole().of_heads(o_, 0, values_)});
    finish_.forward(theta, o_, plain, self().gate_columns(), out);
  }
  void backward(const flat& theta, flat& grad, const matrix& convolved, const matrix& plain,
                const matrix& d_out, matrix& d_convolved, matrix& d_plain) override {
    d_convolved.resize(convolved.rows(), convolved.cols());
    d_plain.resize(plain.rows(), plain.cols());
    finish_.backward(theta, grad, o_, plain, self().gate_columns(), d_out, d_o_, d_plain);
    kernel_.backward(inputs(convolved), {.out = whole().of_heads(std::as_const(d_o_), 0, values_)},
                     gradients(d_convolved));
    self().gates_backward(plain, d_plain);
  }

  void reset() override {
    for (matrix& plane : state_) plane.setZero(all_keys(), values_);
    normaliser_.setZero(1, all_keys());
    log_scale_.setConstant(1, heads_, -std::numeric_limits<float>::infinity());
  }
  void step(const flat& theta, const matrix& convolved, const matrix& plain, matrix& out) override {
    self().make_gates(plain);
    o_.resize(1, all_values());
    gatescan::step(gatescan::cpu{.threads = 1}, operands(convolved, one_token()), state(),
                   gatescan::view<float>{o_.data(), {1, heads_, values_}});
    finish_.forward(theta, o_, plain, self().gate_columns(), out);
  }

  std::vector<matrix> attention_maps(const matrix& convolved, const matrix&) override {
    return collect_maps(heads_, size_.time, [&](const gatescan::view<float>& map) {
      gatescan::attention_map(gatescan::cpu{.threads = 1}, inputs(convolved), map);
    });
  }
  std::vector<mode_time> time_all_modes(const matrix& convolved, const matrix&,
                                        const execution& how) override {
    matrix d_convolved(convolved.rows(), convolved.cols());
    const matrix d_o = matrix::Ones(o_.rows(), o_.cols());
    return time_modes<Recurrence>(
        problem(), inputs(convolved), {.out = whole().of_heads(o_, 0, values_)},
        {.out = whole().of_heads(d_o, 0, values_)}, gradients(d_convolved), o_, how);
  }

 protected:
  using recurrence_inputs = typename Recurrence::template inputs<float>;
  using recurrence_gradients = typename Recurrence::template gradients<float>;

  static void give_rows(auto& x, const auto& q, const auto& k, const auto& v) {
    x.q = q, x.k = k, x.v = v;
  }
  index all_keys() const { return heads_ * keys_; }
  index all_values() const { return heads_ * values_; }
  /// Of key c of all heads: 0 for the first of its head, 1 for the last.
  float place_in_head(index c) const {
    return static_cast<float>(c % keys_) / static_cast<float>(std::max<index>(1, keys_ - 1));
  }

  index heads_, keys_, values_;
  matrix gates_, d_gates_;

 private:
  static constexpr bool is_complex = Recurrence::form.number == gatescan::numbers::complex;

  Mixer& self() { return static_cast<Mixer&>(*this); }
  const Mixer& self() const { return static_cast<const Mixer&>(*this); }
  operand_columns whole() const { return {size_, heads_, false}; }
  operand_columns one_token() const { return {{1, 1}, heads_, true}; }

  typename Recurrence::template problem<float> problem() const {
    return {.batch = size_.batch,
            .time = size_.time,
            .heads = heads_,
            .keys = keys_,
            .values = values_};
  }
  template <class X, class Matrix>
  void give_convolved(X& x, Matrix& convolved, const operand_columns& at) const {
    Mixer::give_rows(x, at.of_heads(convolved, 0, keys_), at.of_heads(convolved, all_keys(), keys_),
                     at.of_heads(convolved, 2 * all_keys(), values_));
  }
  recurrence_inputs operands(const matrix& convolved, const operand_columns& at) const {
    recurrence_inputs x;
    give_convolved(x, convolved, at);
    self().give_gates(x, gates_, at);
    self().give_options(x);
    return x;
  }
  recurrence_inputs inputs(const matrix& convolved) const { return operands(convolved, whole()); }
  recurrence_gradients gradients(matrix& d_convolved) {
    recurrence_gradients d;
    d_gates_.resize(gates_.rows(), gates_.cols());
    give_convolved(d, d_convolved, whole());
    self().give_gates(d, d_gates_, whole());
    return d;
  }
  typename Recurrence::template state<float> state() {
    const auto plane = [this](matrix& m) {
      return gatescan::view<float>{m.data(), {1, heads_, keys_, values_}};
    };
    if constexpr (Recurrence::form.normaliser)
      return {.C = plane(state_[0]),
              .n = {normaliser_.data(), {1, heads_, keys_}},
              .m = {log_scale_.data(), {1, heads_}}};
    else if constexpr (is_complex)
      return {plane(state_[0]), plane(state_[1])};
    else
      return plane(state_[0]);
  }

  gated_head_norm finish_;
  extent size_;
  kernel<Recurrence> kernel_;
  matrix o_, d_o_;
  matrix state_[is_complex ? 2 : 1];  // [heads * keys, values]
  matrix normaliser_, log_scale_;     // [1, heads * keys] and [1, heads], where a state has them
};

}  // namespace char_lm
