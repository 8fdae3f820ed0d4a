#pragma once
// A block of channels of a diagonal recurrence, chunk of tokens by chunk of tokens.

#include "../../../modes/schedule.hpp"
#include "block.hpp"
#include "rows.hpp"
#include "rows_adjoint.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
class diagonal_agent : public channel_block<R, T, IsComplex> {
  using base = channel_block<R, T, IsComplex>;
  using base::ahead_;
  using base::b_;
  using base::form_;
  using base::h_;
  using base::n_;
  using base::p_;
  using base::s_;
  using base::v_;
  using base::x_;

  using base::channels_at;
  using base::for_each_group;
  using base::for_each_register;
  using base::look_ahead;
  using base::look_back;
  using base::registers_in_use;
  using typename base::kernels;
  using typename base::pair;
  using typename base::single;
  using E = typename kernels::E;
  template <class Tokens>
  using values_of = typename kernels::template values_of<Tokens>;
  template <class Tokens>
  using elements_of = typename kernels::template elements_of<Tokens>;

 public:
  using base::unit_keys;
  using base::value_count;
  using typename base::C;
  using typename base::problem;
  using typename base::storage;
  using typename base::tiles_of_gradients;
  using targets = typename R::template fields<gradient_target<C, storage>>;

  static constexpr bool scans = true, adjoint_scans = true;
  static constexpr preferences best_chunks{};
  static constexpr bool side_by_side = false;  // heads go through time together

  static index_t value_blocks(const sizes& n) {
    return ceil_divide(n.values, diagonal_width<C>(n));
  }
  /// Without a value axis, channels of a register are added up when the tile is flushed.
  static bool adds_lanes(const operand<storage>& to) { return to.value == 0; }

  /// Backward works on short chunks whatever the mode: their states fit in L1, and few are kept.
  static schedule adapt(schedule plan) {
    plan.backward_chunk = (std::min)(plan.backward_chunk, kernels::together);
    // without keys a token is so little work that chunks have to be long
    if (unit_keys && (plan.form == kernel_form::steps || plan.segments > 1))
      plan.forward_chunk = 64;
    return plan;
  }

  diagonal_agent(arena& scratch, const problem& p, const schedule& plan, bool backward)
      : base(scratch, p, plan.form) {
    const index_t tokens = (std::max)(plan.forward_chunk, plan.backward_chunk);
    values_ = scratch.take<values_of<single>>(pair::registers * tokens);
    o_ = scratch.take<E>(pair::registers * tokens);
    exact_o_ = scratch.take<E>(pair::registers * tokens);
    const index_t walks = unit_keys ? n_.width / kernels::lanes + 1 : pair::registers * n_.keys;
    decayed_ = scratch.take<decayed_state<IsComplex, C>>(walks);
    stepped_ = scratch.take<stepped_state<IsComplex, C>>(walks);
    products_ = scratch.take<C>(one_part());
    const index_t kept =
        form_ == kernel_form::attention ? (std::max)(tokens, kernels::together) : kernels::together;
    if (backward || form_ == kernel_form::attention) {
      gates_ = scratch.take<E>(pair::registers * kept * n_.keys);
      states_ = scratch.take<E>(pair::registers * kept * n_.keys);
      query_ = scratch.take<E>(n_.keys);
    }
    if (unit_keys && backward)
      row_states_ = scratch.take<C>(
          channel_rows_adjoint<R, T, IsComplex>::scratch_size(n_, plan.backward_chunk));
  }

  index_t state_size() const { return n_.parts * one_part(); }
  index_t summary_size() const { return one_part(); }
  index_t key_pitch() const { return n_.keys; }
  index_t value_pitch() const { return n_.width; }

  template <class S>
  void load_state(const operand<S>& from, C* state) const {
    fill(state, state_size(), C(0));
    if (!from.given) return;
    const index_t at = from.offset(s_, 0, h_) + v_ * from.value;
    for (index_t i = 0; i < n_.keys; ++i) {
      C* row = state + i * n_.width;
      copy_numbers(row, 1, from.re + at + i * from.key, from.value, value_count());
      if (IsComplex && from.im != nullptr)
        copy_numbers(row + n_.part_size(), 1, from.im + at + i * from.key, from.value,
                     value_count());
    }
  }
  void store_state(const operand<C>& to, const C* state) const {
    if (!to.given) return;
    const index_t at = to.offset(s_, 0, h_) + v_ * to.value;
    for (index_t i = 0; i < n_.keys; ++i) {
      const C* row = state + i * n_.width;
      copy_numbers(to.re + at + i * to.key, to.value, row, 1, value_count());
      if (IsComplex && to.im != nullptr)
        copy_numbers(to.im + at + i * to.key, to.value, row + n_.part_size(), 1, value_count());
    }
  }
  gradient_tile<C> state_tile(C* state) const {
    return {state, IsComplex ? state + n_.part_size() : nullptr, 0, n_.width, 1, true};
  }

  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    const auto result = to.out.of_head(b_, h_, v_);
    look_ahead(t, count);
    if constexpr (unit_keys)
      if (form_ != kernel_form::attention && result.given && !reads_again(result))
        return forward_rows(result, t, count, in, out);
    for_each_group(count, [&]<class Tokens>(const kernels& here) {
      advance<Tokens, true>(here, t, count, in, out);
      if (result.given) write<Tokens>(here, result, t, count);
    });
  }
  void advance(index_t t, index_t count, const C* in, C* out) {
    look_ahead(t, count);
    if constexpr (unit_keys)
      if ((form_ == kernel_form::chunks || form_ == kernel_form::segments) &&
          advance_rows(t, count, in, out))
        return;
    for_each_group(count, [&]<class Tokens>(const kernels& here) {
      advance<Tokens, false>(here, t, count, in, out);
    });
  }
  template <class Sink>
  void backward(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
                index_t count, const C* in, C* g, const Sink& sink) {
    const auto d_out = results.out.of_head(b_, h_, v_);
    look_back(results, d, t, count);
    sink.open(t, count);
    if constexpr (unit_keys) {
      ahead_.begin(2 * count);
      const channel_rows_adjoint<R, T, IsComplex> rows{channels_at(0)};
      rows.backward_rows(d_out, d, t, count, value_count(), state_planes(in), state_planes(g),
                         row_states_, [this] { ahead_.step(); });
    } else {
      for_each_group(
          count,
          [&]<class Tokens>(const kernels& here) {
            here.template backward<Tokens>(d_out, d, t, count, state_planes(in), state_planes(g),
                                           as<elements_of<Tokens>>(gates_),
                                           as<elements_of<Tokens>>(states_));
          },
          pair::fits(d_out));
    }
    sink.close(t, count);
  }
  void retreat(const backward_results<R, T>& results, index_t t, index_t count, const C* in, C* g) {
    const auto d_out = results.out.of_head(b_, h_, v_);
    for_each_group(
        count,
        [&]<class Tokens>(const kernels& here) {
          here.template retreat<Tokens>(d_out, t, count, state_planes(in), state_planes(g),
                                        as<elements_of<Tokens>>(gates_));
        },
        pair::fits(d_out));
  }

  // The summary of a segment: the product of its gates.
  void clear_summary(C* product) const {
    fill(product, summary_size(), C(0));
    fill(product, n_.part_size(), C(1));
  }
  void extend_summary(C* product, index_t) const {  // by the chunk advanced last
    const auto p = state_planes(product), chunk = state_planes(products_);
    for_each_register([&](index_t i) { p.store(i, p.load(i) * chunk.load(i)); });
  }
  /// out = product in + local; false where that is not finite and has to be found token by token.
  bool apply_summary(const C* product, const C* local, const C* in, C* out) const {
    return apply(product, local, in, out, [](E p) { return p; });
  }
  bool apply_summary_adjoint(const C* product, const C* local, const C* in, C* out) const {
    return apply(product, local, in, out, [](E p) { return conj(p); });
  }

 private:
  index_t one_part() const { return n_.part_size() * (IsComplex ? 2 : 1); }
  planes<C, IsComplex> state_planes(const C* state) const {
    return {const_cast<C*>(state), n_.part_size()};
  }
  planes<C, IsComplex> low_planes(const C* state) const { return state_planes(state + one_part()); }
  E load_low(const C* state, index_t at) const {
    return n_.parts == 2 ? low_planes(state).load(at) : constant<IsComplex>(C(0));
  }
  void store_end(C* state, index_t at, with_error<E> end) const {
    state_planes(state).store(at, end.value);
    if (n_.parts == 2) low_planes(state).store(at, end.error);
  }

  channel_rows<R, T, IsComplex> rows() const { return {channels_at(0)}; }

  // Scratch for numbers of several kinds in turn: of tokens alone, or of pairs of them.
  template <class To, class From>
  static To* as(From* p) {
    return reinterpret_cast<To*>(static_cast<void*>(p));
  }

  // One register (or a pair's) through a chunk: as the recurrence stands, or with a local sum.
  // Where that gives Inf or NaN, the recurrence as it stands again: there a reset is exact, and
  // nothing overflows that the definition does not overflow. Fills values_ and o_.
  template <class Tokens, bool WithOutput>
  void advance(const kernels& here, index_t t, index_t count, const C* in, C* out) const {
    constexpr index_t registers = Tokens::registers;
    const auto values = as<values_of<Tokens>>(values_);
    const auto for_each_state = [&](auto&& f) {  // f(walk, where its state is)
      for (index_t i = 0; i < n_.keys; ++i)
        for (index_t j = 0; j < registers; ++j)
          f(i * registers + j, i * n_.width + here.w + j * kernels::lanes);
    };
    const auto stepped = [&](E* o) {
      for_each_state([&](index_t i, index_t at) {
        stepped_[i] = {state_planes(in).load(at), constant<IsComplex>(C(0))};
      });
      here.template forward<Tokens, WithOutput>(t, count, values, as<elements_of<Tokens>>(o),
                                                stepped_);
    };
    if (form_ == kernel_form::steps) {
      stepped(o_);
      for_each_state([&](index_t i, index_t at) { store_end(out, at, stepped_[i].end()); });
      return;
    }
    for_each_state([&](index_t i, index_t at) {
      decayed_[i] = {state_planes(in).load(at), load_low(in, at)};
    });
    here.template forward<Tokens, WithOutput>(t, count, values, as<elements_of<Tokens>>(o_),
                                              decayed_);
    const simd::pack<C> nothing(0);  // a number times 0 is 0 where it is finite, NaN elsewhere
    E check = constant<IsComplex>(C(0));
    for_each_state([&](index_t i, index_t at) {
      const auto end = decayed_[i].end();
      store_end(out, at, end);
      state_planes(products_).store(at, decayed_[i].product);
      check = check + end.value * nothing + end.error * nothing;
    });
    if constexpr (WithOutput && Tokens::registers == 1)
      if (form_ == kernel_form::attention)
        here.attention(t, count, state_planes(in), values_, o_, gates_, states_, query_);
    const index_t outputs = WithOutput ? count * registers : 0;
    for (index_t i = 0; i < outputs; ++i) check = check + o_[i] * nothing;
    if (is_zero(check)) return;
    stepped(exact_o_);
    for_each_state([&](index_t i, index_t at) {
      const E fast = state_planes(out).load(at), low = load_low(out, at);
      const auto end = stepped_[i].end();
      store_end(out, at,
                {unless_finite(fast, fast, end.value), unless_finite(fast, low, end.error)});
    });
    for (index_t i = 0; i < outputs; ++i) o_[i] = unless_finite(o_[i], o_[i], exact_o_[i]);
  }
  template <class Tokens>
  void write(const kernels& here, const operand<storage>& result, index_t t, index_t count) const {
    constexpr index_t size = Tokens::tokens;
    for (index_t i = 0; i < count; i += size) {
      const auto y =
          here.output(here.template at<Tokens>(t + i), as<values_of<Tokens>>(values_)[i / size],
                      as<elements_of<Tokens>>(o_)[i / size]);
#pragma GCC unroll 8
      for (index_t j = 0; j < size; ++j)
#pragma GCC unroll 8
        for (index_t r = 0; r < Tokens::registers; ++r)
          here.write(result, t + i + j, r, get(y, Tokens::index(j, r)), false);
    }
  }
  static with_error<simd::pack<C>> with_low(with_error<simd::pack<C>> x, simd::pack<C> low) {
    return exact_sum(x.value, x.error + low);
  }
  static with_error<cplx<simd::pack<C>>> with_low(with_error<cplx<simd::pack<C>>> x,
                                                  cplx<simd::pack<C>>) {
    return x;  // complex states have one part
  }
  // Rows are written before it is known that all is finite; what is not is then computed from the
  // operands again, so that these may not be where the result is.
  bool reads_again(const operand<storage>& result) const {
    bool in_place = false;
    for_each_field<R>([&](const auto& x) { in_place = in_place || x.re == result.re; }, x_);
    return in_place && form_ != kernel_form::steps;
  }
  // False where Inf or NaN comes out, for `advance` to find out about.
  bool advance_rows(index_t first, index_t count, const C* in, C* out) const {
    const index_t registers = registers_in_use();
    for (index_t r = 0; r < registers; ++r)
      decayed_[r] = {state_planes(in).load(r * kernels::lanes), load_low(in, r * kernels::lanes)};
    rows().template rows<false>(first, count, value_count(), operand<storage>{}, false, decayed_);
    E check = constant<IsComplex>(C(0));
    for (index_t r = 0; r < registers; ++r) {
      const auto end = decayed_[r].end();
      store_end(out, r * kernels::lanes, end);
      state_planes(products_).store(r * kernels::lanes, decayed_[r].product);
      check = check + (end.value + end.error) * simd::pack<C>(0);
    }
    return is_zero(check);
  }
  void forward_rows(const operand<storage>& result, index_t first, index_t count, const C* in,
                    C* out) {
    const index_t registers = registers_in_use();
    E check;
    const auto go = [&](auto* walks) {
      using walk = std::remove_pointer_t<decltype(walks)>;
      for (index_t r = 0; r < registers; ++r)
        walks[r] =
            walk(state_planes(in).load(r * kernels::lanes), load_low(in, r * kernels::lanes));
      check =
          rows().template rows<true>(first, count, value_count(), result, streams(result), walks);
      for (index_t r = 0; r < registers; ++r) {
        store_end(out, r * kernels::lanes, walks[r].end());
        if constexpr (!std::is_same_v<walk, stepped_state<IsComplex, C>>)
          state_planes(products_).store(r * kernels::lanes, walks[r].product);
      }
    };
    if (form_ == kernel_form::steps) return go(stepped_);
    go(decayed_);
    if (is_zero(check)) return;
    for (index_t r = 0; r < registers; ++r) {  // see advance
      const index_t at = r * kernels::lanes;
      const kernels here = channels_at(at);
      decayed_state<IsComplex, C> fast(state_planes(in).load(at), load_low(in, at));
      stepped_state<IsComplex, C> exact(fast.in, fast.in_low);
      for (index_t t = first; t < first + count; ++t) {
        const single token = here.template at<single>(t);
        const auto value = here.values(token);
        const E a = here.gate(token, value), o = fast.next(a, value.v);
        const E right = unless_finite(o, o, exact.next(a, value.v));
        here.write(result, t, 0, here.output(token, value, right), false);
      }
      const auto end = fast.end();
      store_end(out, at,
                {unless_finite(end.value, end.value, exact.end().value),
                 unless_finite(end.value, end.error, exact.end().error)});
    }
  }

  template <class F>
  bool apply(const C* product, const C* local, const C* in, C* out, F&& conjugated) const {
    E check = constant<IsComplex>(C(0));
    for_each_register([&](index_t i) {
      const E p = conjugated(state_planes(product).load(i)), add = state_planes(local).load(i);
      decayed_state<IsComplex, C> walk(state_planes(in).load(i), load_low(in, i));
      walk.product = p, walk.local = add;
      auto end = walk.end();
      if (n_.parts == 2) end = with_low(end, load_low(local, i));
      store_end(out, i, end);
      check = check + end.value * simd::pack<C>(0);
    });
    return is_zero(check);
  }

  // A result larger than the caches goes past them: 1.4 times faster (B 8, L 4096, D 512 in float).
  // Two planes only in registers as long as lines: in shorter ones 12.5 ms where it took 15 (AVX2),
  // but 50 where it took 19 if planes happen to lie badly in their pages.
  bool streams(const operand<storage>& out) const {
    if (IsComplex && !simd::whole_lines) return false;
    const index_t numbers = p_->n.batch * p_->n.time * p_->n.heads * p_->n.values;
    const auto aligned = [](const storage* p) { return is_aligned(p, simd::stream_alignment); };
    const bool by_turns = IsComplex && is_interleaved(out, out.value);
    return std::is_same_v<storage, C> && (out.value == 1 || by_turns) &&
           exceeds_caches<C>(numbers) && aligned(out.re) && aligned(out.re + out.time) &&
           (out.im == nullptr || by_turns || aligned(out.im));
  }

  values_of<single>* values_ = nullptr;
  E *o_ = nullptr, *exact_o_ = nullptr;
  E *gates_ = nullptr, *states_ = nullptr, *query_ = nullptr;
  decayed_state<IsComplex, C>* decayed_ = nullptr;
  stepped_state<IsComplex, C>* stepped_ = nullptr;
  C *products_ = nullptr, *row_states_ = nullptr;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
