#pragma once
// What an agent of channels knows of its block: where it is, its operands, its registers in use,
// and which memory comes next.

#include <algorithm>

#include "../../../core/problem.hpp"
#include "../../../modes/schedule.hpp"
#include "../operands/gradients.hpp"
#include "../operands/prefetch.hpp"
#include "channels.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Makes an operand dense, in memory for [keys][width] numbers: what is read often.
template <class S>
void make_dense(operand<const S>& x, const diagonal_shape& n, index_t values, void* memory) {
  S* const dense = static_cast<S*>(memory);
  const index_t keys = x.key != 0 ? n.keys : 1;
  for (index_t j = 0; j < values; ++j)
    for (index_t i = 0; i < keys; ++i) dense[i * n.width + j] = x.re[i * x.key + j * x.value];
  x.re = dense, x.value = 1, x.key = x.key != 0 ? n.width : 0;
}

template <class R, class T, bool IsComplex, kernel_form Form>
class channel_block {
 public:
  using storage = storage_t<T>;
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using kernels = channels<R, T, IsComplex>;
  using single = typename kernels::single;
  using pair = typename kernels::pair;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;

  static constexpr bool unit_keys = kernels::unit_keys;

  channel_block(arena& scratch, const problem& p)
      : p_(&p), x_(p.x), n_{p.n.keys, diagonal_width<C>(p.n)} {
    if (Form != kernel_form::steps && !IsComplex) n_.parts = 2;
    index_t operands = 0;
    for_each_field<R>([&](const auto&) { ++operands; }, x_);
    packed_ = scratch.take<C>(operands * n_.part_size());
  }

  const diagonal_shape& shape() const { return n_; }
  const problem& whole() const { return *p_; }
  const typename kernels::operands_type& operands() const { return x_; }
  prefetcher_to<2>& ahead() { return ahead_; }

  index_t first_value() const { return v_; }
  index_t value_count() const { return (std::min)(n_.width, p_->n.values - v_); }
  index_t head() const { return h_; }
  index_t batch() const { return b_; }
  index_t sequence() const { return s_; }
  /// The state at the start of the chunk before, which backward works on next.
  void comes_before(const C* state) { state_before_ = state; }
  void seek(index_t sequence, index_t head, index_t block) {
    b_ = p_->batch_of(sequence), s_ = sequence, h_ = head, v_ = block * n_.width;
    index_t n = 0;
    for_each_field<R>(
        [&](const auto& all,
            auto& own) {  // what does not change along time is read for every token
          own = all.of_head(b_, h_, v_);
          C* dense = packed_ + n++ * n_.part_size();
          if (own.given && own.time == 0 && own.im == nullptr && own.value != 0 && own.value != 1)
            make_dense(own, n_, value_count(), dense);
        },
        p_->x, x_);
  }

  kernels channels_at(index_t w) const {
    const index_t rest = p_->n.values - v_ - w;
    return {x_, n_, w, static_cast<int>((std::min)(rest, kernels::lanes))};
  }

  // The last block may have no channels for some of its registers: nothing in these reaches a
  // result.
  index_t width_in_use() const { return round_up(value_count(), kernels::lanes); }
  index_t registers_in_use() const { return width_in_use() / kernels::lanes; }
  // f.operator()<Tokens>(channels) for the block's registers in use: in pairs as far as whole ones
  // go and `count` tokens can, then alone. `fits`: whether what f reads beside the operands can.
  template <class F>
  void for_each_group(index_t count, F&& f, bool fits = true) {
    constexpr index_t step = pair::registers * kernels::lanes;
    const bool pairs = fits && channels_at(0).template fits<pair>(count);
    const index_t in_pairs = pairs ? value_count() / step * step : 0;
    const index_t groups = in_pairs / step + (width_in_use() - in_pairs) / kernels::lanes;
    ahead_.begin(groups * n_.keys * kernels::parts_of(count));
    index_t done = 0;
    for (index_t w = 0; w < in_pairs; w += step) go<pair>(w, f, ++done, groups);
    for (index_t w = in_pairs; w < width_in_use(); w += kernels::lanes)
      go<single>(w, f, ++done, groups);
  }
  // The same, each register alone.
  template <class F>
  void for_each_register(index_t count, F&& f) {
    ahead_.begin(registers_in_use() * n_.keys * kernels::parts_of(count));
    for (index_t r = 0; r < registers_in_use(); ++r)
      go<single>(r * kernels::lanes, f, r + 1, registers_in_use());
  }

  void look_ahead(index_t first, index_t count) {
    ahead_.clear();
    if (const index_t next = first + count; count <= tuning.longest_look_ahead && !unit_keys)
      for_each_field<R>(
          [&](const auto& x) {
            ahead_.add(x, next, (std::min)(next + count, p_->n.time), n_.keys, value_count());
          },
          x_);
  }

  // The chunk before: operands, the state it starts from, and where gradients will go.
  void look_back(const backward_results<R, T>& results, const tiles_of_gradients& tiles,
                 index_t last, index_t count) {
    ahead_.clear();
    const index_t first = (std::max)(last - count, index_t(0));
    const auto add = [&](const auto& x) { ahead_.add(x, first, last, n_.keys, value_count()); };
    add(results.out.of_head(b_, h_, v_));
    if (state_before_ != nullptr) ahead_.add_rows(state_before_, n_.width, n_.keys, value_count());
    for_each_field<R>(
        [&](const auto& x, const auto& d, const auto& tile) {
          add(x);
          if (d.given && d.time != 0 && tile.how != writing::stream) add(d.of_head(b_, h_, v_));
        },
        x_, results.d, tiles);
  }

 private:
  template <class Tokens, class F>
  void go(index_t w, F&& f, index_t done, index_t groups) {
    kernels here = channels_at(w);
    here.ahead = &ahead_;
    f.template operator()<Tokens>(here);
    ahead_.catch_up(done, groups);
  }

  const problem* p_;
  typename kernels::operands_type x_;  // of this block
  diagonal_shape n_;
  prefetcher_to<2> ahead_{};
  index_t b_ = 0, s_ = 0, h_ = 0, v_ = 0;
  const C* state_before_ = nullptr;
  C* packed_ = nullptr;  // operands: no wider than what is computed with
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
