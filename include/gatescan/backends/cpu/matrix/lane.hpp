#pragma once
// One head of a matrix-state recurrence: the recurrence's prologue fills tiles, the core works on
// them, the epilogue writes results. The driver (../driver.hpp) decides which runs of tokens are
// worked on, where and when.

#include "../../../core/problem.hpp"
#include "../../../modes/schedule.hpp"
#include "../gradients.hpp"
#include "../prefetch.hpp"
#include "chunk_adjoint.hpp"
#include "key_quad.hpp"
#include "shared_gate_adjoint.hpp"
#include "unit_strides.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_lane {
 public:
  using storage = storage_t<T>;
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;
  using targets = typename R::template fields<gradient_target<C, storage>>;

  static constexpr bool complex = R::number_kind == numbers::complex;
  static constexpr bool scans = true, adjoint_scans = true;
  // Forward GLA with K = V = 128, 8 heads took 30.4 / 31.9 / 31.3 / 39.3 ms with 16 / 32 / 48 / 64
  // tokens, with K = V = 64, 12 heads 16.0 / 18.2 / 22.8 / 23.2 ms, backward with K = V = 128
  // 185 / 159 / 159 / 186 ms: its states at chunk starts leave the caches (one core, AVX2, L 2048).
  static constexpr preferences best_chunks{};
  static constexpr bool side_by_side = true;  // heads go through time together
  static constexpr bool simple_output =
      std::is_base_of_v<plain_output, R>;  // d_o does not depend on o

  static index_t value_blocks(const sizes&) { return 1; }
  static schedule adapt(const schedule& plan) { return plan; }
  /// Without a key or value axis, the lanes of a register are added up when the tile is flushed.
  static bool adds_lanes(const operand<storage>& to) { return to.key == 0 && to.value == 0; }

  matrix_lane(arena& scratch, const problem& p, const schedule& plan, bool backward)
      : p_(&p),
        x_(p.x),
        blocks_(plan.form != kernel_form::steps),
        in_frame_(turns && blocks_ && !backward),
        n_(matrix_shape::of<C>(p.n.keys, p.n.values, complex,
                               blocks_ && (std::is_same_v<C, double> ||
                                           (complex && (backward || plan.segments > 1))))) {
    const index_t tokens = backward ? plan.backward_run : plan.forward_run;
    tiles_ = matrix_tiles<C>(scratch, n_, tokens);
    values_ = scratch.take<values_type>(tokens * (n_.value_pitch / width));
    if (blocks_) {
      chunk_ = chunk_scratch<C>(scratch, n_, tokens);
      log_gates_ = scratch.take<double>(n_.rows);
    }
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
  index_t head() const { return h_; }
  index_t batch() const { return b_; }
  index_t sequence() const { return s_; }

  void seek(index_t sequence, index_t head, index_t) {
    b_ = p_->batch_of(sequence), s_ = sequence, h_ = head;
    next_token_ = -1;
    R::operands([&](const char*, const axes&, presence, const auto& all,
                    auto& lane) { lane = all.lane(b_, h_, 0); },
                p_->x, x_);
    reads_quads_ = n_.keys % quad::keys == 0;
    R::operands([&](const char*, const axes&, presence,
                    const auto& x) { reads_quads_ = reads_quads_ && quad::fits(x); },
                x_);
  }

  /// What the run after the one that comes now works on, where that is not the same head.
  void comes_next(index_t head, index_t token) { next_head_ = head, next_token_ = token; }

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
  void forward_run(const forward_results<T>& to, index_t t, index_t count, const C* in, C* out) {
    load_run(t, count);
    look_ahead(t, count);
    ahead_.add(to.out.lane(b_, h_, 0), t, t + count, n_.keys, n_.values);
    compute<turns>(count, in, out);
    write_out(to.out.lane(b_, h_, 0), t, count);
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
    write_out(to.out.lane(b_, h_, 0), t, 1);
    return true;
  }
  /// The state after the tokens only.
  void advance_run(index_t t, index_t count, const C* in, C* out) {
    const auto read = [&]<bool Queries>() {
      load_run<Queries>(t, count);
      look_ahead<Queries>(t, count);
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
  /// g: gradient of the state after the tokens on entry, before them on return.
  template <class Sink>
  void backward_run(const backward_results<R, T>& results, const tiles_of_gradients& d, index_t t,
                    index_t count, const C* in, C* g, const Sink& sink) {
    load_run(t, count);
    load_output_gradient(results.out.lane(b_, h_, 0), t, count, in);
    look_back(results, t, count);
    compute_adjoint(count, in, g);
    const auto add = [&]<bool Shared>() {
      for (index_t first = (count - 1) / block_tokens * block_tokens; first >= 0;
           first -= block_tokens)
        add_gradients<Shared>(results.out.lane(b_, h_, 0), d, t, first,
                              std::min<index_t>(block_tokens, count - first), sink);
    };
    if (adjoint_shares_gates && shares_gates())
      add.template operator()<adjoint_shares_gates>();
    else
      add.template operator()<false>();
  }
  /// The gradient of the state before the tokens only. `in` is read where the output's adjoint
  /// needs o.
  void retreat_run(const backward_results<R, T>& results, index_t t, index_t count, const C* in,
                   C* g) {
    load_run(t, count);
    load_output_gradient(results.out.lane(b_, h_, 0), t, count, in);
    copy_numbers(next_state_, g, n_.state_size());
    if constexpr (adjoint_shares_gates)
      if (shares_gates()) {
        ahead_.clear();
        decays_from_start(shared_, count);
        set_products(n_, shared_, shared_.from_start[count - 1], chunk_);
        incoming_gradient_shared(tiles_, shared_, count, gradients_.d_o, next_state_, g, chunk_,
                                 prefetching{&ahead_});
        return;
      }
    decay_queries<complex>(tiles_, count, chunk_);
    incoming_gradient<complex>(tiles_, count, gradients_.d_o, next_state_, g, chunk_);
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
  static constexpr index_t width = simd::lanes<C>;
  using operands_type = typename R::template fields<operand<const storage>>;
  using key_cursor = cursor<C, complex, along::keys>;
  using quad = key_quad<C, complex>;
  using value_cursor = cursor<C, complex, along::values>;
  using register_type = simd::pack<C>;
  // complex states in float go forward in a frame of their own (frame.hpp)
  static constexpr bool turns = complex && std::is_same_v<C, float>;
  // in float, the product of a run's gates comes from the sum of their logarithms (carry.hpp)
  static constexpr bool sums_logs =
      std::is_same_v<C, float> && requires(const operands_type& x, key_cursor at) {
    R::log_gate(x, at);
  };
  static constexpr bool can_share_gates = !complex && requires(const operands_type& x) {
    R::has_shared_gate(x);
  };
  // states go on without the queries: 106 ms for 112, backward of a gate a head (AVX2, one core)
  static constexpr bool reads_query_apart = requires(const operands_type& x) { R::query(x); };
  static constexpr bool adjoint_shares_gates = can_share_gates && requires(tiles_of_gradients d) {
    R::without_gate(d);
  };
  using values_type =
      decltype(R::values(typename R::template fields<operand<const storage>>{}, value_cursor{}));

  key_cursor keys_at(index_t t, index_t i, index_t tile_t = 0) const {
    return {t, i, 0, static_cast<int>(std::min<index_t>(width, n_.keys - i)), tile_t};
  }
  value_cursor values_at(index_t t, index_t j, index_t tile_t = 0) const {
    return {t, 0, j, static_cast<int>(std::min<index_t>(width, n_.values - j)), tile_t};
  }
  values_type* values_row(values_type* base, index_t t) const {
    return base + t * (n_.value_pitch / width);
  }

  bool apply(const C* product, const C* local, const C* in, C* out, bool conjugate) const {
    if (in_frame_) frame_.reset(n_, out);
    const carry<complex, C> next(n_, in, out, {product, product + n_.rows}, conjugate);
    for (index_t i = 0; i < n_.rows; ++i)
      for (index_t j = 0; j < n_.value_pitch; j += width) {
        C* at = out + i * n_.state_pitch + j;
        simd::store(at, next(i, j, simd::load(local + i * n_.state_pitch + j)));
        if (n_.parts == 2) {
          at += n_.part_size();
          simd::store(at,
                      simd::load(at) + simd::load(local + n_.part_size() + i * n_.state_pitch + j));
        }
      }
    return state_finite(out, n_);
  }

  static auto masked(register_type x, int count, C rest) {
    return simd::first_lanes(x, count, register_type(rest));
  }
  static auto masked(cplx<register_type> x, int count, C rest) {
    return cplx<register_type>{masked(x.re, count, rest), masked(x.im, count, C(0))};
  }

  bool shares_gates() const {
    if constexpr (can_share_gates) return shared_.gate != nullptr && R::has_shared_gate(x_);
    return false;
  }

  template <bool WithQueries = true>
  void load_run(index_t first, index_t count) {
    if (shares_gates())
      load_shared<WithQueries>(first, count);
    else
      load<WithQueries>(first, count);
  }
  template <bool WithQueries = true>
  void load(index_t first, index_t count) {
    tiles_.log_gates = nullptr;
    if constexpr (sums_logs)
      if (blocks_ && R::has_log_gate(x_)) {
        tiles_.log_gates = log_gates_;
        sum_log_gates(first, count);
      }
    load_keys_of_run<WithQueries, true>(first, count);
    load_values(first, count);
  }
  template <bool WithQueries>
  void load_shared(index_t first, index_t count) {
    if constexpr (can_share_gates) {
      load_keys_of_run<WithQueries, false>(first, count);
      load_values(first, count);
      alignas(simd::register_bytes) C lanes[static_cast<std::size_t>(width)];
      const auto number = [&](register_type x) { return simd::store(lanes, x), lanes[0]; };
      for (index_t t = 0; t < count; ++t)
        shared_.gate[t] = number(R::keys(x_, keys_at(first + t, 0)).gate);
      shared_.has_product = false;
      if constexpr (sums_logs)
        if (R::has_log_gate(x_)) {
          double sum = 0;
          for (index_t t = 0; t < count; ++t)
            sum += static_cast<double>(number(R::log_gate(x_, keys_at(first + t, 0))));
          shared_.set_product(sum);
        }
    }
  }
  template <bool WithQueries, bool WithGates>
  void load_keys_of_run(index_t first, index_t count) {
    const bool quads = reads_quads_;
    const operands_type x = x_;  // copies: what vectors are stored to might otherwise be these
    const matrix_shape n = n_;
    const matrix_tiles<C> to = tiles_;
    for (index_t t = 0; t < count; ++t) {
      for (index_t i = 0; quads && i < n.keys; i += quad::keys) {
        const auto key = R::keys(x, quad{keys_at(first + t, i)});
        if constexpr (WithQueries) store_quad(to.q + t * n.rows + i, n.key_pitch, key.q);
        store_quad(to.k + t * n.rows + i, n.key_pitch, key.k);
        if constexpr (WithGates) store_quad(to.a + t * n.rows + i, n.key_pitch, key.gate);
      }
      for (index_t i = 0; !quads && i < n.key_pitch; i += width) {
        const key_cursor at = keys_at(first + t, i);
        auto key = R::keys(x, at);
        if (at.count < width) {
          if constexpr (WithQueries) key.q = masked(key.q, at.count, C(0));
          key.k = masked(key.k, at.count, C(0));
          key.gate = masked(key.gate, at.count, C(1));
        }
        if constexpr (WithQueries) store_keys<complex>(to.q + t * n.rows, i, n.key_pitch, key.q);
        store_keys<complex>(to.k + t * n.rows, i, n.key_pitch, key.k);
        if constexpr (WithGates) store_keys<complex>(to.a + t * n.rows, i, n.key_pitch, key.gate);
      }
    }
  }
  void load_values(index_t first, index_t count) {
    const matrix_tiles<C> to = tiles_;  // copies, as above
    const index_t registers = n_.value_pitch / width;
    values_type* const values = values_;
    for_each_value(first, count, [=](const operands_type& x, const value_cursor& at, index_t t) {
      values_type w = R::values(x, at);
      w.v = masked(w.v, at.count, C(0));
      values[t * registers + at.value / width] = w;
      simd::store(to.v + t * registers * width + at.value, w.v);
    });
  }
  /// f(operands, cursor, token of the run) for every register of values.
  template <class F>
  GATESCAN_INLINE void for_each_value(index_t first, index_t count, F&& f) const {
    const operands_type x = x_, dense = with_values_side_by_side<R>(x_);
    const index_t last = n_.value_pitch, values = n_.values;
    const index_t whole = values_side_by_side<R>(x) ? values / width * width : 0;
    for (index_t t = 0; t < count; ++t) {
      for (index_t j = 0; j < whole; j += width)
        f(dense, value_cursor{first + t, 0, j, static_cast<int>(width)}, t);
      for (index_t j = whole; j < last; j += width) {
        const int lanes = static_cast<int>((std::min)(width, values - j));
        f(x, value_cursor{first + t, 0, j, lanes}, t);
      }
    }
  }
  // The operands of the run after [first, first + count) are asked for while that one is worked on.
  template <bool WithQueries = true>
  void look_ahead(index_t first, index_t count) {
    constexpr index_t longest = 64;  // tokens ahead that the caches can hold
    ahead_.clear();
    const index_t next = next_token_ >= 0 ? next_token_ : first + count;
    if (count > longest) return;
    R::operands(
        [&](const char*, const axes&, presence, const auto& all, const auto& own) {
          if constexpr (!WithQueries)
            if (static_cast<const void*>(&own) == &R::query(x_)) return;
          const auto add = [&](const auto& x) {
            ahead_.add(x, next, (std::min)(next + count, p_->n.time), n_.keys, n_.values);
          };
          if (next_token_ >= 0)
            add(all.lane(b_, next_head_, 0));
          else
            add(own);
        },
        p_->x, x_);
  }
  // In backward the run before [first, first + count) comes next, and gradients are written.
  void look_back(const backward_results<R, T>& results, index_t first, index_t count) {
    ahead_.clear();
    const index_t before = std::max<index_t>(first - count, p_->first_token(s_));
    R::operands(
        [&](const char*, const axes&, presence, const auto& x, const auto& d) {
          ahead_.add(x, before, first, n_.keys, n_.values);
          if (d.given) ahead_.add(d.lane(b_, h_, 0), first, first + count, n_.keys, n_.values);
        },
        x_, results.d);
    if (results.out.given)
      ahead_.add(results.out.lane(b_, h_, 0), before, first, n_.keys, n_.values);
  }
  void sum_log_gates(index_t first, index_t count) {
    const operands_type x = x_;  // a copy, as in load
    double* const sums = log_gates_;
    const index_t pitch = n_.key_pitch;
    const auto store = [](double* to, simd::doubles sum) {
      simd::store(to, sum.first);
      simd::store(to + simd::lanes<double>, sum.second);
    };
    index_t i = 0;
    if constexpr (!complex)  // four registers at once: whole lines are read
      for (; reads_quads_ && i < pitch; i += quad::keys) {
        simd::doubles a{}, b{}, c{}, d{};
        for (index_t t = 0; t < count; ++t) {
          const auto log = R::log_gate(x, quad{keys_at(first + t, i)});
          add(a, log.a), add(b, log.b), add(c, log.c), add(d, log.d);
        }
        store(sums + i, a), store(sums + i + width, b);
        store(sums + i + 2 * width, c), store(sums + i + 3 * width, d);
      }
    for (; i < pitch; i += width) {
      simd::doubles re{}, im{};
      for (index_t t = 0; t < count; ++t) {
        const auto log = R::log_gate(x, keys_at(first + t, i));
        if constexpr (complex)
          add(re, log.re), add(im, log.im);
        else
          add(re, log);
      }
      store(sums + i, re);
      if constexpr (complex) store(sums + pitch + i, im);
    }
  }
  static GATESCAN_INLINE void add(simd::doubles& sum, register_type x) {
    const simd::doubles more = simd::widen(x);
    sum.first += more.first, sum.second += more.second;
  }
  template <bool Turning = false>
  void compute(index_t count, const C* in, C* out) {
    if constexpr (can_share_gates)
      if (shares_gates())
        return chunk_forward_shared(tiles_, shared_, count, in, out, chunk_, ahead_);
    if (blocks_)
      return chunk_forward<complex, Turning>(tiles_, count, in, out, chunk_, ahead_, frame_);
    ahead_.begin(blocks_of_state<complex, C>(n_));
    steps_forward<complex>(tiles_, count, in, out, prefetching{&ahead_});
  }
  void compute_adjoint(index_t count, const C* in, C* g) {
    if constexpr (adjoint_shares_gates)
      if (shares_gates())
        return chunk_backward_shared(tiles_, shared_, count, in, g, gradients_, chunk_, adjoint_,
                                     shared_adjoint_, ahead_);
    if (blocks_)
      chunk_backward<complex>(tiles_, count, in, g, gradients_, chunk_, adjoint_, ahead_);
    else
      steps_backward<complex>(tiles_, count, in, g, gradients_, replay_);
  }
  void write_out(const operand<storage>& out, index_t first, index_t count) const {
    if (!out.given) return;
    const index_t registers = n_.value_pitch / width;
    const C* const from = tiles_.o;  // copies, as in load
    const values_type* const values = values_;
    const bool dense = out.value == 1;
    for_each_value(first, count, [=](const operands_type& x, const value_cursor& at, index_t t) {
      const index_t place = t * registers * width + at.value;
      const auto y = R::output(x, at, values[place / width], simd::load(from + place));
      storage* const to = out.re + at.t * out.time;
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
    tiles_of_gradients key_tiles = d;
    if constexpr (SharedGate) key_tiles = R::without_gate(d);
    const matrix_shape n = n_;
    const matrix_gradients<C> from = gradients_;
    const bool quads = reads_quads_;
    for (index_t t = first; t < first + count; ++t) {
      const index_t row = t * n.rows;
      if constexpr (SharedGate) {
        key_cursor one = keys_at(run + t, 0, t - first);
        one.count = 1;
        const register_type none(0);
        R::keys_adjoint(x, tiles, one,
                        keys_of<register_type>{none, none, register_type(from.da[t])});
      }
      for (index_t i = 0; quads && i < n.key_pitch; i += quad::keys) {
        const auto load = [=](const C* rows) {
          return load_quad<complex>(rows + row + i, n.key_pitch);
        };
        using E = decltype(load(from.dq));
        R::keys_adjoint(x, key_tiles, quad{keys_at(run + t, i, t - first)},
                        keys_of<E>{load(from.dq), load(from.dk), SharedGate ? E{} : load(from.da)});
      }
      for (index_t i = 0; !quads && i < n.key_pitch; i += width) {
        const auto load = [=](const C* rows) {
          return load_keys<complex>(rows + row, i, n.key_pitch);
        };
        using E = decltype(load(from.dq));
        R::keys_adjoint(x, key_tiles, keys_at(run + t, i, t - first),
                        keys_of<E>{load(from.dq), load(from.dk), SharedGate ? E{} : load(from.da)});
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

  const problem* p_;
  operands_type x_;  // of this head
  bool blocks_, in_frame_;
  bool reads_quads_ = false;  // four registers of keys at once
  matrix_shape n_;
  matrix_tiles<C> tiles_{};
  chunk_scratch<C> chunk_{};
  turning_frame<C> frame_{};
  shared_gates<C> shared_{};
  shared_adjoint_scratch<C> shared_adjoint_{};
  matrix_gradients<C> gradients_{};
  chunk_adjoint_scratch<C> adjoint_{};
  steps_adjoint_scratch<C> replay_{};
  values_type* values_ = nullptr;
  C* next_state_ = nullptr;
  double* log_gates_ = nullptr;
  prefetcher ahead_{};
  index_t b_ = 0, s_ = 0, h_ = 0;
  index_t next_head_ = 0, next_token_ = -1;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
