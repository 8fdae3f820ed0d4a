#pragma once
// What a head reads: the operands of a chunk of tokens, through the recurrence's prologue, into
// tiles.
//
//   q, k, a [tokens, K], with some recurrences p, b or own  v [tokens, V]
//   head_gate [tokens] where keys share their gate

#include <utility>

#include "../../../core/problem.hpp"
#include "../operands/gradients.hpp"
#include "../operands/token_cursor.hpp"
#include "../operands/unit_strides.hpp"
#include "log_sum.hpp"
#include "tiles.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_reader {
 public:
  using storage = storage_t<T>;
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using operands_type = operands_of<R, T>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;
  using register_type = simd::pack<C>;

  static constexpr bool complex = R::form.number == numbers::complex;
  static constexpr bool corrects = R::form.moves != transition::diagonal;  // there is a p
  static constexpr bool low_rank = R::form.moves == transition::low_rank;  // there is a b
  static constexpr bool has_own_key = R::form.reads == readout::exclusive;
  static constexpr index_t width = simd::lanes<C>;
  using key_cursor = cursor<C, complex, along::keys>;
  using value_cursor = cursor<C, complex, along::values>;
  using quad = cursor4<C, complex, along::keys, 1>;
  using quad_of_tokens = cursor4<C, complex, along::keys, 4>;
  using quad_of_values = cursor4<C, complex, along::values, 1>;
  using stage = stages<R>;
  using token_type =
      decltype(stage::token(operands_type{}, token_cursor<C, complex>{}, token_weight<C>{}));
  using values_type = decltype(stage::values(operands_type{}, value_cursor{}, token_type{}));

  /// In float, the product of a chunk's gates comes from the sum of their logarithms.
  static constexpr bool sums_logs = std::is_same_v<C, float> && has_log_gate<R>;
  static constexpr bool may_have_head_gate =
      !complex && !low_rank && !has_own_key && detail::may_have_head_gate<R>;
  static constexpr bool may_have_head_gate_adjoint = may_have_head_gate && separates_head_gate<R>;
  /// Queries are an operand of their own: states go on without them (backward of a head gate 106 ms
  /// for 112, AVX2, one core).
  static constexpr bool reads_query_apart = separates_query<R>;
  /// Heads of a group read the same q and k, and gates are not in them.
  static constexpr bool may_share_keys =
      may_have_head_gate && !corrects && separates_query<R> && separates_key<R>;

  matrix_reader(arena& scratch, const problem& p, const matrix_shape& n, index_t tokens)
      : p_(&p), x_(p.x), n_(n), tiles_(scratch, n, tokens, R::form) {
    values_ = scratch.take<values_type>(tokens * (n_.value_pitch / width));
    if constexpr (has_token<R>) {
      tokens_ = scratch.take<token_type>(tokens);
      tokens_in_lanes_ = scratch.take<token_type>(ceil_divide(tokens, width));
    }
  }
  /// Room for what chunks need besides: sums of logarithms and, where it is wanted, head gates.
  void take_room_for_chunks(arena& scratch, index_t tokens, bool head_gates) {
    log_gates_ = scratch.take<double>(n_.rows);
    if (head_gates) head_gates_ = scratch.take<C>(tokens);
    allows_head_gate_ = head_gates;
  }

  void seek(index_t sequence, index_t head) {
    b_ = p_->batch_of(sequence), s_ = sequence, h_ = head;
    x_ = p_->x;
    for_each_field<R>([&](auto& own) { own.go_to_head(b_, h_, 0); }, x_);
    bool fit = true;
    for_each_field<R>([&](const auto& x) { fit = fit && quad::fits(x); }, x_);
    reads_quads_ = fit && n_.keys % quad::width == 0;
    reads_quads_of_tokens_ = fit && n_.keys % quad_of_tokens::width == 0;
    reads_quads_of_values_ = true;  // also where there may be one value for all
    for_each_field<R>(
        [&](const auto& x) {
          reads_quads_of_values_ = reads_quads_of_values_ && quad_of_values::fits(x);
        },
        x_);
  }
  const problem& whole() const { return *p_; }
  index_t head() const { return h_; }
  index_t batch() const { return b_; }
  index_t sequence() const { return s_; }

  const operands_type& operands() const { return x_; }
  const matrix_shape& shape() const { return n_; }
  const matrix_tiles<C>& tiles() const { return tiles_; }
  /// What the token stage made of each token of the chunk.
  struct tokens_made {
    const token_type* first;

    GATESCAN_INLINE token_type operator[](index_t t) const {
      if constexpr (has_token<R>)
        return first[t];
      else
        return {};
    }
  };
  tokens_made tokens() const { return {tokens_}; }
  /// What R::values returned for token t of the chunk, a register of values at a time.
  const values_type* values(index_t t) const { return values_ + t * (n_.value_pitch / width); }
  bool reads_quads() const { return reads_quads_; }  // four registers of keys at once

  token_cursor<C, complex> token_at(index_t t, index_t tile_t = 0) const {
    return {t, n_.keys, tile_t};
  }
  static int keys_in_use(const matrix_shape& n, index_t i) {  // of the register from key i on
    return static_cast<int>((std::min)(width, n.keys - i));
  }
  key_cursor keys_at(index_t t, index_t i, index_t tile_t = 0) const {
    return {t, i, 0, keys_in_use(n_, i), tile_t};
  }
  value_cursor values_at(index_t t, index_t j, index_t tile_t = 0) const {
    return {t, 0, j, static_cast<int>(std::min<index_t>(width, n_.values - j)), tile_t};
  }
  static auto masked(register_type x, int count, C rest) {
    return simd::first_lanes(x, count, register_type(rest));
  }
  static auto masked(cplx<register_type> x, int count, C rest) {
    return cplx<register_type>{masked(x.re, count, rest), masked(x.im, count, C(0))};
  }

  /// Whether some heads read the same q and k.
  bool shares_keys() const {
    if constexpr (may_share_keys)
      return R::query(p_->x).heads_a_group > 1 && R::key(p_->x).heads_a_group > 1;
    return false;
  }
  /// Whether all keys of a token have one gate, and may.
  bool has_head_gate() const {
    if constexpr (may_have_head_gate)
      return allows_head_gate_ && detail::has_head_gate<R>(x_) && !gate_gradient_has_keys_;
    return false;
  }
  /// Keys may share a gate whose gradient is asked for a key each.
  template <class Gradients>
  static bool gate_gradient_has_keys(const Gradients& d) {
    bool has_keys = false;
    for_each_field<R>(
        [&](const auto& all, const auto& not_of_gates) {
          if (all.given && !not_of_gates.given && all.key != 0) has_keys = true;
        },
        d, without_gate<R>(d));
    return has_keys;
  }
  template <class Gradients>
  void note_gate_gradient(const Gradients& d) {
    gate_gradient_has_keys_ = gate_gradient_has_keys(d);
  }

  /// Tokens [first, first + count), for steps.
  void read_tokens(index_t first, index_t count) {
    take_token_stage(first, count);
    keys_read_ = {};
    read_keys<true, true>(first, count);
    read_values(first, count);
  }
  /// The same for chunks. Returns whether q and k are those of the chunk read before.
  template <bool WithQueries = true>
  bool read_chunk(index_t first, index_t count) {
    begin_chunk(first, count);
    if constexpr (may_have_head_gate)
      if (has_head_gate()) {
        const bool same_keys = tiles_have_keys<WithQueries>(first, count);
        if (!same_keys) read_keys<WithQueries, false>(first, count);
        read_values(first, count);
        read_head_gates(first, count);
        return same_keys;
      }
    if constexpr (sums_logs)
      if (tiles_.log_gates != nullptr) sum_log_gates(first, count);
    read_keys<WithQueries, true>(first, count);
    read_values(first, count);
    return false;
  }
  /// Or values alone: keys are read by quads of tokens, straight from the operands. What a token
  /// stage made is a number a token.
  static constexpr bool may_read_keys_by_quads_of_tokens = !has_token<R>;
  bool reads_keys_by_quads_of_tokens(index_t count) const {
    return reads_quads_of_tokens_ && !has_head_gate() && count % 4 == 0;
  }
  void begin_chunk_without_keys(index_t first, index_t count) {
    begin_chunk(first, count);
    read_values(first, count);
  }

  template <bool WithQueries, bool WithGates>
  void read_keys(index_t first, index_t count) const {
    const bool quads = reads_quads_;
    const auto x = held(x_);
    const auto n = held(n_);
    const auto to = held(tiles_);
    const auto made = tokens();
    for (index_t t = 0; t < count; ++t) {
      for (index_t i = 0; quads && i < n.keys; i += quad::width) {
        const auto key = stage::keys(x, quad{keys_at(first + t, i)}, made[t]);
        if constexpr (WithQueries) store_quad(to.q + t * n.rows + i, n.key_pitch, key.q);
        store_quad(to.k + t * n.rows + i, n.key_pitch, key.k);
        if constexpr (corrects) store_quad(to.p + t * n.rows + i, n.key_pitch, key.p);
        if constexpr (low_rank) store_quad(to.b + t * n.rows + i, n.key_pitch, key.b);
        if constexpr (has_own_key) store_quad(to.own + t * n.rows + i, n.key_pitch, key.own);
        if constexpr (WithGates) store_quad(to.a + t * n.rows + i, n.key_pitch, key.gate);
      }
      for (index_t i = 0; !quads && i < n.key_pitch; i += width)
        put_keys<WithQueries, WithGates>(stage::keys(x, keys_at(first + t, i), made[t]), n, to, t,
                                         i);
    }
  }
  /// A register of keys from key i on into the tiles, padded.
  template <bool WithQueries, bool WithGates, class Keys>
  static GATESCAN_INLINE void put_keys(Keys key, const matrix_shape& n, const matrix_tiles<C>& to,
                                       index_t t, index_t i) {
    if (const int count = keys_in_use(n, i); count < width) {
      if constexpr (WithQueries) key.q = masked(key.q, count, C(0));
      key.k = masked(key.k, count, C(0));
      if constexpr (corrects) key.p = masked(key.p, count, C(0));
      if constexpr (low_rank) key.b = masked(key.b, count, C(0));
      if constexpr (has_own_key) key.own = masked(key.own, count, C(0));
      key.gate = masked(key.gate, count, C(1));
    }
    const index_t row = t * n.rows;
    if constexpr (WithQueries) store_keys<complex>(to.q + row, i, n.key_pitch, key.q);
    store_keys<complex>(to.k + row, i, n.key_pitch, key.k);
    if constexpr (corrects) store_keys<complex>(to.p + row, i, n.key_pitch, key.p);
    if constexpr (low_rank) store_keys<complex>(to.b + row, i, n.key_pitch, key.b);
    if constexpr (has_own_key) store_keys<complex>(to.own + row, i, n.key_pitch, key.own);
    if constexpr (WithGates) store_keys<complex>(to.a + row, i, n.key_pitch, key.gate);
  }
  /// f(operands, cursor, token) for every register of values; with Four, for four neighbours.
  template <bool Four = false, class F>
  GATESCAN_INLINE void for_each_value(index_t first, index_t count, F&& f) const {
    const auto x = held(x_), dense = with_values_side_by_side<R>(x_);
    const index_t last = n_.padded_values, values = n_.values;
    const index_t whole = values_side_by_side<R>(x) ? values / width * width : 0;
    const index_t fours =
        Four && reads_quads_of_values_ ? whole / quad_of_values::width * quad_of_values::width : 0;
    for (index_t t = 0; t < count; ++t) {
      if constexpr (Four)
        for (index_t j = 0; j < fours; j += quad_of_values::width)
          f(dense, quad_of_values{{first + t, 0, j, static_cast<int>(width)}}, t);
      for (index_t j = fours; j < whole; j += width)
        f(dense, value_cursor{first + t, 0, j, static_cast<int>(width)}, t);
      for (index_t j = whole; j < last; j += width) {
        f(x, value_cursor{first + t, 0, j, static_cast<int>((std::min)(width, values - j))}, t);
      }
    }
  }

 private:
  // Where the chunk's gates have logarithms, the tiles have room for their sums.
  void begin_chunk(index_t first, index_t count) {
    take_token_stage(first, count);
    tiles_.log_gates = nullptr;
    tiles_.head_gate = has_head_gate() ? head_gates_ : nullptr;
    if constexpr (sums_logs)
      if (R::has_log_gate(x_)) tiles_.log_gates = log_gates_;
  }
  // Whether q and k of these tokens are in the tiles. They are about to be.
  template <bool WithQueries>
  bool tiles_have_keys(index_t first, index_t count) {
    if constexpr (may_share_keys && WithQueries)
      if (shares_keys()) {  // what kernels keep of pairs for the next head is there only then
        const keys_read wanted{R::query(x_).re, R::key(x_).re, first, count};
        return std::exchange(keys_read_, wanted) == wanted;
      }
    keys_read_ = {};
    return false;
  }
  void take_token_stage(index_t first, index_t count) {
    if constexpr (has_token<R>)
      for_each_register_of_tokens(first, count, [&](const auto& at, index_t t) {
        const token_type made = stage::token(x_, at, weights_at(at));
        tokens_in_lanes_[t / width] = made;
        spread(made, tokens_ + t, at.count);
      });
  }
  // f(cursor, token of the chunk) for every register of tokens.
  template <class F>
  void for_each_register_of_tokens(index_t first, index_t count, F&& f) const {
    for (index_t t = 0; t < count; t += width)
      f(tokens_cursor<C, complex>{first + t, n_.keys,
                                  static_cast<int>((std::min)(width, count - t))},
        t);
  }
  // Of a token stage of numbers: a register of tokens, of which each gets its own in all lanes.
  static void spread(const token_type& made, token_type* to, int count) {
    constexpr std::size_t members = sizeof(token_type) / sizeof(register_type);
    static_assert(std::is_trivially_copyable_v<token_type> &&
                      sizeof(token_type) == members * sizeof(register_type),
                  "a token stage returns registers");
    alignas(simd::register_bytes) C numbers[members][static_cast<std::size_t>(width)];
    __builtin_memcpy(numbers, &made, sizeof made);
    for (int i = 0; i < count; ++i) {
      register_type all[members];
#pragma GCC unroll 8
      for (std::size_t m = 0; m < members; ++m) all[m] = register_type(numbers[m][i]);
      __builtin_memcpy(to + i, all, sizeof all);
    }
  }
  token_weight<register_type> weights_at(const tokens_cursor<C, complex>& at) const {
    const register_type none(0);
    if (p_->weights.first == nullptr) return {none, none, none};
    const token_weight<C>* const w = p_->weights.of_head(b_, h_) + at.t;
    constexpr index_t step = sizeof *w / sizeof(C);
    const auto load = [&](const C* number) { return simd::load<C>(number, step, at.count); };
    return {load(&w->log_gate), load(&w->log_key), load(&w->log_scale)};
  }
  void read_values(index_t first, index_t count) {
    const auto to = held(tiles_);
    const index_t registers = n_.value_pitch / width;
    values_type* const values = values_;
    const auto made = tokens();
    for_each_value(first, count, [=](const operands_type& x, const value_cursor& at, index_t t) {
      values_type w = stage::values(x, at, made[t]);
      w.v = masked(w.v, at.count, C(0));
      values[t * registers + at.value / width] = w;
      simd::store(to.v + t * registers * width + at.value, w.v);
    });
    if (p_->normalised)
      for (index_t t = 0; t < count; ++t) put_in_column(n_, tiles_.v + t * n_.value_pitch, C(1));
  }
  void read_head_gates(index_t first, index_t count) {
    const auto made = [&](index_t t) {
      if constexpr (has_token<R>)
        return tokens_in_lanes_[t / width];
      else
        return token_type{};
    };
    for_each_register_of_tokens(first, count, [&](const auto& at, index_t t) {
      simd::store(tiles_.head_gate + t, 1, at.count, stage::keys(x_, at, made(t)).gate);
    });
    if constexpr (sums_logs)
      if (tiles_.log_gates != nullptr) {
        alignas(simd::register_bytes) C logs[static_cast<std::size_t>(width)];
        double sum = 0;
        for_each_register_of_tokens(first, count, [&](const auto& at, index_t t) {
          simd::store(logs, stage::log_gate(x_, at, made(t)));
          for (int i = 0; i < at.count; ++i) sum += static_cast<double>(logs[i]);
        });
        tiles_.log_gates[0] = sum;
      }
  }
  void sum_log_gates(index_t first, index_t count) {
    const auto x = held(x_);
    const auto made = tokens();
    double* const sums = log_gates_;
    const index_t pitch = n_.key_pitch;
    index_t i = 0;
    if constexpr (!complex)  // four registers at once: whole lines are read
      for (; reads_quads_ && i < pitch; i += quad::width) {
        log_sum a, b, c, d;
        for (index_t t = 0; t < count; ++t) {
          const simd::pack4<C> log(stage::log_gate(x, quad{keys_at(first + t, i)}, made[t]));
          a.add(log.a), b.add(log.b), c.add(log.c), d.add(log.d);
        }
        a.store(sums + i), b.store(sums + i + width);
        c.store(sums + i + 2 * width), d.store(sums + i + 3 * width);
      }
    for (; i < pitch; i += width) {
      log_sum re, im;
      for (index_t t = 0; t < count; ++t) {
        const auto log = stage::log_gate(x, keys_at(first + t, i), made[t]);
        if constexpr (complex)
          re.add(log.re), im.add(log.im);
        else
          re.add(log);
      }
      re.store(sums + i);
      if constexpr (complex) im.store(sums + pitch + i);
    }
  }

  // Where q and k of the tiles were read.
  struct keys_read {
    const storage *q = nullptr, *k = nullptr;
    index_t first = 0, count = 0;

    bool operator==(const keys_read&) const = default;
  };

  const problem* p_;
  operands_type x_;  // of this head
  keys_read keys_read_{};
  bool reads_quads_ = false, reads_quads_of_tokens_ = false, reads_quads_of_values_ = false;
  bool allows_head_gate_ = false, gate_gradient_has_keys_ = false;
  matrix_shape n_;
  matrix_tiles<C> tiles_{};
  token_type* tokens_ = nullptr;           // [token]
  token_type* tokens_in_lanes_ = nullptr;  // [register of tokens]
  values_type* values_ = nullptr;          // [token][register of values]
  double* log_gates_ = nullptr;
  C* head_gates_ = nullptr;
  index_t b_ = 0, s_ = 0, h_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
