#pragma once
// The agent of a block of channels of a diagonal recurrence (../agents/agent.hpp): groups of
// channels one after another, or all of a row where there are no keys.
//
//   h_t = a_t * h_{t-1} + k_t v_t        o_t = sum over keys of q_t h_t

#include "../agents/agent.hpp"
#include "../operands/past_caches.hpp"
#include "block.hpp"
#include "rows.hpp"
#include "rows_adjoint.hpp"
#include "states_of_block.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex, kernel_form Form>
class diagonal_agent {
  using block = channel_block<R, T, IsComplex, Form>;
  using kernels = typename block::kernels;
  using pair = typename block::pair;
  using single = typename block::single;
  using E = typename kernels::E;
  template <class Tokens>
  using values_of = typename kernels::template values_of<Tokens>;
  template <class Tokens>
  using elements_of = typename kernels::template elements_of<Tokens>;

 public:
  using recurrence = R;
  using format = T;
  using storage = typename block::storage;
  using C = typename block::C;
  using problem = typename block::problem;
  using tiles_of_gradients = typename block::tiles_of_gradients;
  using targets = gradient_targets_of<R, T>;

  static constexpr kernel_form form = Form;
  static constexpr bool scans = true, adjoint_scans = true;

  static preferences preferred(const problem&) { return {}; }
  static bool retreat_reads_states(const problem&) { return !has_linear_output<R>; }
  static index_t value_blocks(const sizes& n) {
    return ceil_divide(n.values, diagonal_width<C>(n));
  }
  /// Without a value axis, channels of a register are added up when the tile is flushed.
  template <class S>
  static bool adds_lanes(const operand<S>& to) {
    return to.value == 0;
  }

  /// Backward works on short chunks whatever the mode: their states fit in L1, and few are kept.
  static schedule adapt(schedule how) {
    how.backward_chunk = (std::min)(how.backward_chunk, kernels::together);
    if (unit_keys && (in_steps || Form == kernel_form::segments))
      how.forward_chunk = tuning.chunk_without_keys;
    return how;
  }

  diagonal_agent(arena& scratch, const problem& p, const schedule& how, bool backward)
      : block_(scratch, p), layout_{block_.shape()} {
    const diagonal_shape& n = layout_.n;
    const index_t tokens = (std::max)(how.forward_chunk, how.backward_chunk);
    values_ = scratch.take<values_of<single>>(pair::registers * tokens);
    o_ = scratch.take<E>(pair::registers * tokens);
    exact_o_ = scratch.take<E>(pair::registers * tokens);
    const index_t states = unit_keys ? n.width / kernels::lanes + 1 : pair::registers * n.keys;
    decayed_ = scratch.take<decayed>(states);
    stepped_ = scratch.take<stepped>(states);
    products_ = scratch.take<C>(layout_.summary_size());
    constexpr bool in_attention = Form == kernel_form::attention;
    const index_t kept = in_attention ? (std::max)(tokens, kernels::together) : kernels::together;
    if (backward || in_attention) {
      gates_ = scratch.take<E>(pair::registers * kept * n.keys);
      states_ = scratch.take<E>(pair::registers * kept * n.keys);
      query_ = scratch.take<E>(n.keys);
    }
    if constexpr (unit_keys) {
      notes_ = scratch.take<C>(noting<single, C>::size(n.width));
      if (backward) {
        row_states_ = scratch.take<C>(rows_adjoint::scratch_size(n, how.backward_chunk));
        row_gates_ = scratch.take<kept_gates>(rows_adjoint::kept_size(n, how.backward_chunk));
      }
    }
  }

  void seek(index_t sequence, index_t head, index_t value_block) {
    block_.seek(sequence, head, value_block);
  }
  index_t sequence() const { return block_.sequence(); }
  index_t head() const { return block_.head(); }
  index_t batch() const { return block_.batch(); }
  index_t first_value() const { return block_.first_value(); }
  index_t value_count() const { return block_.value_count(); }
  index_t key_pitch() const { return layout_.n.keys; }
  index_t value_pitch() const { return layout_.n.width; }
  void comes_before(const C* state) { block_.comes_before(state); }

  index_t state_size() const { return layout_.size(); }
  template <class S>
  void load_state(const operand<S>& from, C* state) const {
    layout_.load(from, place_of_state(from), value_count(), state);
  }
  void store_state(const operand<C>& to, const C* state) const {
    layout_.store(to, place_of_state(to), value_count(), state);
  }
  gradient_tile<C> state_tile(C* state) const { return layout_.tile(state); }

  void forward(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    const auto result = to.out.of_head(batch(), head(), first_value());
    block_.look_ahead(t, count);
    if constexpr (unit_keys && Form != kernel_form::attention)
      if (result.given && !reads_again(result)) return forward_rows(result, t, count, in, out);
    for_each_group(count, [&]<class Tokens>(const kernels& here) {
      go_through<Tokens, true>(here, t, count, in, out);
      if (result.given) write<Tokens>(here, result, t, count);
    });
  }
  void advance(index_t t, index_t count, const C* in, C* out) {
    block_.look_ahead(t, count);
    if constexpr (unit_keys && Form != kernel_form::attention)
      if (advance_rows(t, count, in, out)) return;
    for_each_group(count, [&]<class Tokens>(const kernels& here) {
      go_through<Tokens, false>(here, t, count, in, out);
    });
  }
  template <class Bracket>
  C* backward(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
              index_t count, const C* in, C* g, const Bracket& bracket) {
    const auto d_out = results.out.of_head(batch(), head(), first_value());
    if (!unit_keys || !rows_adjoint::little_work) block_.look_back(results, d, t, count);
    bracket.open(t, count);
    if constexpr (unit_keys) {
      rows_adjoint rows{{block_.channels_at(0)}, notes_};
      rows.ahead = &block_.ahead();
      rows.ahead->begin(2 * count);
      rows.backward_rows(d_out, d, t, count, (std::min)(count, t), value_count(), layout_.high(in),
                         layout_.high(g), row_states_, row_gates_);
    } else {
      block_.for_each_group(
          count,
          [&]<class Tokens>(const kernels& here) {
            channels_backward<R, T, IsComplex>{here}.template backward<Tokens>(
                d_out, d, t, count, layout_.high(in), layout_.high(g),
                as<elements_of<Tokens>>(gates_), as<elements_of<Tokens>>(states_));
          },
          pair::fits(d_out));
    }
    bracket.close(t, count);
    return g;
  }
  void retreat(const backward_results<R, T>& results, index_t t, index_t count, const C* in, C* g) {
    const auto d_out = results.out.of_head(batch(), head(), first_value());
    block_.for_each_group(
        count,
        [&]<class Tokens>(const kernels& here) {
          channels_backward<R, T, IsComplex>{here}.template retreat<Tokens>(
              d_out, t, count, layout_.high(in), layout_.high(g), as<elements_of<Tokens>>(gates_));
        },
        pair::fits(d_out));
  }

  index_t summary_size() const { return layout_.summary_size(); }
  void clear_summary(C* product) const { layout_.clear_summary(product); }
  void extend_summary(C* product, index_t) const {
    layout_.extend_summary(product, products_, value_count());
  }
  bool apply_summary(const C* product, const C* local, const C* in, C* out) const {
    return layout_.template apply_summary<false>(product, local, in, out, value_count());
  }
  bool forgets(const C* product, C bound) const {
    return layout_.forgets(product, bound, value_count());
  }
  bool same_state(const C* x, const C* y) const { return layout_.same(x, y, value_count()); }
  bool apply_summary_adjoint(const C* product, const C* local, const C* in, C* out) const {
    return layout_.template apply_summary<true>(product, local, in, out, value_count());
  }

 private:
  using decayed = decayed_state<IsComplex, C>;
  using stepped = stepped_state<IsComplex, C>;
  static constexpr bool unit_keys = kernels::unit_keys;
  using rows_adjoint = channel_rows_adjoint<R, T, IsComplex>;
  using kept_gates = typename rows_adjoint::kept;
  static constexpr bool in_steps = Form == kernel_form::steps;

  template <class S>
  index_t place_of_state(const operand<S>& x) const {
    return x.offset(sequence(), 0, head()) + first_value() * x.value;
  }
  // Groups of forward. Where rows do the work there is little left for them.
  template <class F>
  void for_each_group(index_t count, F&& f) {
    if constexpr (unit_keys || Form == kernel_form::attention)
      block_.for_each_register(count, f);
    else
      block_.for_each_group(count, f);
  }
  channel_rows<R, T, IsComplex> rows() const { return {block_.channels_at(0), notes_}; }

  // Scratch for numbers of several kinds in turn: of tokens alone, or of pairs of them.
  template <class To, class From>
  static To* as(From* p) {
    return reinterpret_cast<To*>(static_cast<void*>(p));
  }

  // One register (or a pair's) through a chunk: as the recurrence stands, or with a local sum.
  // Where that gives Inf or NaN, the recurrence as it stands again: there a reset is exact, and
  // nothing overflows that the definition does not overflow. Fills values_ and o_.
  template <class Tokens, bool WithOutput>
  void go_through(const kernels& here, index_t t, index_t count, const C* in, C* out) const {
    constexpr index_t registers = Tokens::registers;
    const auto values = as<values_of<Tokens>>(values_);
    const auto for_each_state = [&](auto&& f) {  // f(state, where it lies)
      for (index_t i = 0; i < layout_.n.keys; ++i)
        for (index_t j = 0; j < registers; ++j)
          f(i * registers + j, i * layout_.n.width + here.w + j * kernels::lanes);
    };
    const auto step = [&](E* o) {
      for_each_state([&](index_t i, index_t at) {
        stepped_[i] = {layout_.high(in).load(at), constant<IsComplex>(C(0))};
      });
      here.template forward<Tokens, WithOutput>(t, count, values, as<elements_of<Tokens>>(o),
                                                stepped_);
    };
    if constexpr (in_steps) {
      step(o_);
      for_each_state([&](index_t i, index_t at) { layout_.store(out, at, stepped_[i].end()); });
    } else {
      for_each_state([&](index_t i, index_t at) {
        decayed_[i] = {layout_.high(in).load(at), layout_.load_low(in, at)};
      });
      here.template forward<Tokens, WithOutput>(t, count, values, as<elements_of<Tokens>>(o_),
                                                decayed_);
      const simd::pack<C> nothing(0);  // a number times 0 is 0 where it is finite, NaN elsewhere
      E check = constant<IsComplex>(C(0));
      for_each_state([&](index_t i, index_t at) {
        const auto end = decayed_[i].end();
        layout_.store(out, at, end);
        layout_.high(products_).store(at, decayed_[i].product);
        check = check + end.value * nothing + end.error * nothing;
      });
      if constexpr (WithOutput && registers == 1 && Form == kernel_form::attention)
        here.attention(t, count, layout_.high(in), values_, o_, gates_, states_, query_);
      const index_t outputs = WithOutput ? count * registers : 0;
      for (index_t i = 0; i < outputs; ++i) check = check + o_[i] * nothing;
      if (is_zero(check)) return;
      step(exact_o_);
      for_each_state([&](index_t i, index_t at) {
        const E fast = layout_.high(out).load(at), low = layout_.load_low(out, at);
        const auto end = stepped_[i].end();
        layout_.store(out, at,
                      {unless_finite(fast, fast, end.value), unless_finite(fast, low, end.error)});
      });
      for (index_t i = 0; i < outputs; ++i) o_[i] = unless_finite(o_[i], o_[i], exact_o_[i]);
    }
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

  // Rows are written before it is known that all is finite; what is not is then computed from the
  // operands again, so that these may not be where the result is.
  bool reads_again(const operand<storage>& result) const {
    bool in_place = false;
    for_each_field<R>(
        [&](const auto& x) { in_place = in_place || static_cast<const void*>(x.re) == result.re; },
        block_.operands());
    return in_place && !in_steps;
  }
  // Rows through a chunk from states `in` to `out`, in one form of states. What it returns is 0
  // where all is finite.
  template <bool WithOutput, class State>
  E walk_rows(const operand<storage>& result, index_t first, index_t count, const C* in, C* out,
              State* states) const {
    const index_t registers = block_.registers_in_use();
    for (index_t r = 0; r < registers; ++r) {
      const index_t at = r * kernels::lanes;
      states[r] = State(layout_.high(in).load(at), layout_.load_low(in, at));
    }
    E check = rows().template rows<WithOutput>(first, count, value_count(), result,
                                               WithOutput && streams(result), states);
    for (index_t r = 0; r < registers; ++r) {
      const index_t at = r * kernels::lanes;
      const auto end = states[r].end();
      layout_.store(out, at, end);
      if constexpr (std::is_same_v<State, decayed>)
        layout_.high(products_).store(at, states[r].product);
      if constexpr (!WithOutput) check = check + (end.value + end.error) * simd::pack<C>(0);
    }
    return check;
  }
  // False where Inf or NaN comes out, for `go_through` to find out about.
  bool advance_rows(index_t first, index_t count, const C* in, C* out) const {
    if constexpr (in_steps) {
      walk_rows<false>(operand<storage>{}, first, count, in, out, stepped_);
      return true;
    } else {
      return is_zero(walk_rows<false>(operand<storage>{}, first, count, in, out, decayed_));
    }
  }
  void forward_rows(const operand<storage>& result, index_t first, index_t count, const C* in,
                    C* out) {
    if constexpr (in_steps) {
      walk_rows<true>(result, first, count, in, out, stepped_);
    } else if (!is_zero(walk_rows<true>(result, first, count, in, out, decayed_))) {
      for (index_t r = 0; r < block_.registers_in_use(); ++r)
        forward_where_not_finite(result, first, count, r * kernels::lanes, in, out);
    }
  }
  // See go_through.
  void forward_where_not_finite(const operand<storage>& result, index_t first, index_t count,
                                index_t at, const C* in, C* out) const {
    const kernels here = block_.channels_at(at);
    decayed fast(layout_.high(in).load(at), layout_.load_low(in, at));
    stepped exact(fast.in, fast.in_low);
    for (index_t t = first; t < first + count; ++t) {
      const single token = here.template at<single>(t);
      const auto value = here.values(token);
      const E a = here.gate(token, value), o = fast.next(a, value.v);
      const E right = unless_finite(o, o, exact.next(a, value.v));
      here.write(result, t, 0, here.output(token, value, right), false);
    }
    const auto end = fast.end();
    layout_.store(out, at,
                  {unless_finite(end.value, end.value, exact.end().value),
                   unless_finite(end.value, end.error, exact.end().error)});
  }

  // A result larger than the caches goes past them: 1.4 times faster (B 8, L 4096, D 512 in float).
  // Two planes only in registers as long as lines: in shorter ones 12.5 ms where it took 15 (AVX2),
  // but 50 where it took 19 if planes happen to lie badly in their pages.
  bool streams(const operand<storage>& out) const {
    if (IsComplex && !simd::whole_lines) return false;
    const sizes& n = block_.whole().n;
    const bool by_turns = IsComplex && is_interleaved(out, out.value);
    return (out.value == 1 || by_turns) &&
           goes_past_caches<C>(out, n.batch * n.time * n.heads * n.values) &&
           (out.im == nullptr || by_turns || is_aligned(out.im, simd::stream_alignment));
  }

  block block_;
  states_of_block<C, IsComplex> layout_;
  values_of<single>* values_ = nullptr;
  E *o_ = nullptr, *exact_o_ = nullptr;
  E *gates_ = nullptr, *states_ = nullptr, *query_ = nullptr;
  decayed* decayed_ = nullptr;
  stepped* stepped_ = nullptr;
  C *products_ = nullptr, *row_states_ = nullptr, *notes_ = nullptr;
  kept_gates* row_gates_ = nullptr;
};

template <class R, class T, bool IsComplex, kernel_form Form>
inline constexpr bool says_what_retreat_reads<diagonal_agent<R, T, IsComplex, Form>> = true;
template <class R, class T, bool IsComplex, kernel_form Form>
inline constexpr bool sees_state_before<diagonal_agent<R, T, IsComplex, Form>> = true;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
