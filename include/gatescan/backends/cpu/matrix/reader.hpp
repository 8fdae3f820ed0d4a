#pragma once
// What a matrix lane reads: the operands of a run of tokens of one head, through the recurrence's
// prologue, into tiles.

#include "../../../core/problem.hpp"
#include "../operands/gradients.hpp"
#include "../operands/prefetch.hpp"
#include "../operands/unit_strides.hpp"
#include "shared_gate.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_reader {
 public:
  using storage = storage_t<T>;
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;

  static constexpr bool complex = R::form.number == numbers::complex;

  index_t head() const { return h_; }
  index_t batch() const { return b_; }
  index_t sequence() const { return s_; }

  void seek(index_t sequence, index_t head, index_t) {
    b_ = p_->batch_of(sequence), s_ = sequence, h_ = head;
    next_token_ = -1;
    R::operands([&](const char*, const axes&, presence, const auto& all,
                    auto& lane) { lane = all.of_head(b_, h_, 0); },
                p_->x, x_);
    bool fit = true;
    R::operands(
        [&](const char*, const axes&, presence, const auto& x) { fit = fit && quad::fits(x); }, x_);
    reads_quads_ = fit && n_.keys % quad::width == 0;
    reads_quads_of_tokens_ = fit && n_.keys % quad_of_tokens::width == 0;
  }

  /// What the run after the one that comes now works on, where that is not the same head.
  void comes_next(index_t head, index_t token) { next_head_ = head, next_token_ = token; }

 protected:
  static constexpr index_t width = simd::lanes<C>;
  using operands_type = typename R::template fields<operand<const storage>>;
  using key_cursor = cursor<C, complex, along::keys>;
  using quad = cursor4<C, complex, along::keys, 1>;
  using quad_of_tokens = cursor4<C, complex, along::keys, 4>;
  using value_cursor = cursor<C, complex, along::values>;
  using register_type = simd::pack<C>;
  // in float, the product of a run's gates comes from the sum of their logarithms (carry.hpp)
  static constexpr bool sums_logs =
      std::is_same_v<C, float> && requires(const operands_type& x, key_cursor at) {
    R::log_gate(x, at);
  };
  static constexpr bool can_share_gates = !complex && requires(const operands_type& x) {
    R::has_head_gate(x);
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

  matrix_reader(arena& scratch, const problem& p, const matrix_shape& n, bool blocks,
                index_t tokens)
      : p_(&p), x_(p.x), blocks_(blocks), n_(n), tiles_(scratch, n, tokens) {
    values_ = scratch.take<values_type>(tokens * (n_.value_pitch / width));
    if (blocks_) log_gates_ = scratch.take<double>(n_.rows);
  }

  static auto masked(register_type x, int count, C rest) {
    return simd::first_lanes(x, count, register_type(rest));
  }
  static auto masked(cplx<register_type> x, int count, C rest) {
    return cplx<register_type>{masked(x.re, count, rest), masked(x.im, count, C(0))};
  }

  bool shares_gates() const {
    if constexpr (can_share_gates)
      return shared_.gate != nullptr && R::has_head_gate(x_) && !gate_gradient_has_keys_;
    return false;
  }

  // Keys may share a gate whose gradient is asked for a key each.
  template <class Gradients>
  void note_gate_gradient(const Gradients& d) {
    gate_gradient_has_keys_ = false;
    R::operands(
        [&](const char*, const axes&, presence, const auto& all, const auto& not_of_gates) {
          if (all.given && !not_of_gates.given && all.key != 0) gate_gradient_has_keys_ = true;
        },
        d, R::without_gate(d));
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
    begin_log_gates();
    if constexpr (sums_logs)
      if (tiles_.log_gates != nullptr) sum_log_gates(first, count);
    load_keys_of_run<WithQueries, true>(first, count);
    load_values(first, count);
  }
  // Where the run's gates have logarithms, the tiles have room for their sums.
  void begin_log_gates() {
    tiles_.log_gates = nullptr;
    if constexpr (sums_logs)
      if (blocks_ && R::has_log_gate(x_)) tiles_.log_gates = log_gates_;
  }

  /// Keys of the run from token `start`, straight from the operands, by quads of tokens: what is
  /// read once need not lie in tiles. Sums of logarithms are made on the way.
  struct keys_in_operands {
    matrix_reader* reader;
    operands_type x;  // copies, as below
    matrix_shape n;
    index_t start, count;
    double* log_gates;

    static constexpr bool whole_quads = true;
    static constexpr std::size_t tokens = quad_tokens;
    using element = element_t<C, complex>;

    GATESCAN_INLINE void read(index_t first, index_t i, keys_of_tokens<element, tokens>& to) const {
      const quad_of_tokens here{{start + first, i, 0, static_cast<int>(width)}};
      const auto key = R::keys(x, here);
#pragma GCC unroll 4
      for (int t = 0; t < quad_tokens; ++t)
        to.q[t] = get(key.q, t), to.k[t] = get(key.k, t), to.a[t] = get(key.gate, t);
      if constexpr (sums_logs)
        if (log_gates != nullptr) add_logs(R::log_gate(x, here), first == 0, i);
    }
    void fill_tiles() const { reader->template load_keys_of_run<true, true>(start, count); }

   private:
    GATESCAN_INLINE void add_logs(const simd::pack4<C>& log, bool begins, index_t at) const {
      double *const low = log_gates + at, *const high = low + simd::lanes<double>;
      simd::doubles sum{};
      if (!begins) sum = {simd::load(low), simd::load(high)};
      add(sum, log.a), add(sum, log.b), add(sum, log.c), add(sum, log.d);
      simd::store(low, sum.first), simd::store(high, sum.second);
    }
    GATESCAN_INLINE void add_logs(const cplx<simd::pack4<C>>& log, bool begins, index_t at) const {
      add_logs(log.re, begins, at), add_logs(log.im, begins, n.key_pitch + at);
    }
  };
  bool reads_from_operands(index_t count) const {
    return blocks_ && reads_quads_of_tokens_ && !shares_gates() && count % quad_tokens == 0;
  }
  keys_in_operands from_operands(index_t first, index_t count) {
    begin_log_gates();
    return {this, x_, n_, first, count, tiles_.log_gates};
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
      for (index_t i = 0; quads && i < n.keys; i += quad::width) {
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
            add(all.of_head(b_, next_head_, 0));
          else
            add(own);
        },
        p_->x, x_);
  }
  // In backward the run before [first, first + count) comes next, and gradients are written.
  void look_back(const backward_results<R, T>& results, const tiles_of_gradients& tiles,
                 index_t first, index_t count) {
    ahead_.clear();
    const index_t before = std::max<index_t>(first - count, p_->first_token(s_));
    R::operands(
        [&](const char*, const axes&, presence, const auto& x, const auto& d, const auto& tile) {
          ahead_.add(x, before, first, n_.keys, n_.values);
          if (d.given && tile.how != writing::stream)
            ahead_.add(d.of_head(b_, h_, 0), first, first + count, n_.keys, n_.values);
        },
        x_, results.d, tiles);
    if (results.out.given)
      ahead_.add(results.out.of_head(b_, h_, 0), before, first, n_.keys, n_.values);
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
      for (; reads_quads_ && i < pitch; i += quad::width) {
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

  const problem* p_;
  operands_type x_;  // of this head
  bool blocks_;
  bool reads_quads_ = false;  // four registers of keys at once
  bool reads_quads_of_tokens_ = false;
  bool gate_gradient_has_keys_ = false;
  matrix_shape n_;
  matrix_tiles<C> tiles_{};
  shared_gates<C> shared_{};
  values_type* values_ = nullptr;
  double* log_gates_ = nullptr;
  prefetcher ahead_{};
  index_t b_ = 0, s_ = 0, h_ = 0;
  index_t next_head_ = 0, next_token_ = -1;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
