#pragma once
// The prologue of every token into rows, and the epilogue from rows of o: a warp a token and head.

#include "../../../../core/stages.hpp"
#include "../../operands/chunk_storage.hpp"
#include "../../operands/token_cursor.hpp"
#include "rows.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// The token of a warp: f(x, at, place, weight) with its head's operands, a cursor for the token
/// stage, the token's place among rows, and its weight.
template <class R, class T>
struct warp_a_token {
  using config = tile_config<R, T>;
  using C = typename config::C;
  static_assert(!config::complex, "lowered recurrences are of real numbers");
  static constexpr int warps = config::threads / warp_threads;

  problem_of<R, T> p;
  row_layout<R> layout;

  index_t blocks() const { return ceil_divide(row_count(p.n), warps); }
  int threads() const { return config::threads; }
  int shared_bytes() const { return 0; }

  template <class Block, class F>
  GATESCAN_HD void with_token(Block& block, F&& f) const {
    const index_t token = block.index() * warps + block.thread() / warp_threads;
    if (token >= p.n.batch * p.n.time * p.n.heads) return;
    const index_t head = token % p.n.heads, time = token / p.n.heads % p.n.time,
                  batch = token / p.n.heads / p.n.time;
    const index_t sequence = layout.sequences.sequence_at(batch, time);
    if (sequence < 0) return;
    f(head_operands(p, batch, head), token_cursor<C, Block>{block, time, p.n.keys},
      layout.place(sequence, time, head), p.weights.at(batch, time, head));
  }
  template <class F>
  GATESCAN_HD static void for_each_lane(int thread, index_t count, F&& f) {
    for (index_t i = thread % warp_threads; i < count; i += warp_threads) f(i);
  }
  GATESCAN_HD static typename config::cursor at_value(index_t time, index_t value) {
    return {0, time, 0, 0, value};
  }
};

template <class R, class T>
struct prologue : warp_a_token<R, T> {
  static constexpr needs of_beside = needs::nothing;
  using base = warp_a_token<R, T>;
  using base::p, base::layout;
  using C = typename base::C;
  token_rows<C> to;
  C* own_scores;  // with readout::exclusive, of tokens: q own

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->with_token(block, [&](const auto& x, const auto& at, const token_place& place,
                                const token_weight<C>& weight) {
      const auto token = stages<R>::token(x, at, weight);
      [[maybe_unused]] C own_score = 0;
      base::for_each_lane(block.thread(), p.n.keys, [&](index_t key) {
        const auto of = stages<R>::keys(x, at.at_key(key), token);
        const index_t here = place.row * p.n.keys + key, at_gate = place.gate * p.n.keys + key;
        to.q[place.query * p.n.keys + key] = of.q;
        to.k[here] = of.k, to.gate[at_gate] = of.gate;
        if constexpr (R::form.moves != transition::diagonal) to.p[at_gate] = of.p;
        if constexpr (row_layout<R>::low_rank) {
          to.q[at_gate] = C(0), to.k[at_gate] = of.b;
          to.gate[here] = C(1), to.p[here] = C(0);
        }
        if constexpr (row_layout<R>::exclusive) own_score = fma(C(of.q), C(of.own), own_score);
      });
      base::for_each_lane(block.thread(), p.n.values, [&](index_t value) {
        to.v[place.row * layout.values() + value] =
            stages<R>::values(x, base::at_value(at.time, value), token).v;
        if (row_layout<R>::low_rank) to.v[place.gate * layout.values() + value] = C(0);
      });
      if (layout.normalised() && block.thread() % warp_threads == 0)
        to.v[place.row * layout.values() + p.n.values] = C(1);
      if constexpr (row_layout<R>::exclusive) {
        own_score = add_over_lanes<C>(block, own_score, warp_threads);
        if (block.thread() % warp_threads == 0) own_scores[place.token] = own_score;
      }
    });
  }
};

/// Where sequences begin among rows, and with readout::exclusive the rows at their ends that are no
/// token's: a warp a sequence and head.
template <class R, class T>
struct rows_between {
  static constexpr needs of_beside = needs::nothing;
  using C = state_t<T>;
  static constexpr int warps = tuned.block_threads / warp_threads;
  row_layout<R> layout;
  token_rows<C> to;
  C* d_o;  // backward

  index_t blocks() const { return ceil_divide(layout.n.sequences * layout.n.heads, warps); }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const sizes& n = layout.n;
    const index_t item = block.index() * warps + block.thread() / warp_threads;
    const index_t head = item % n.heads, sequence = item / n.heads;
    if (sequence >= n.sequences) return;
    const token_range all = layout.sequences.tokens_of(sequence);
    const index_t batch = layout.sequences.batch_of(sequence), between = layout.between(sequence),
                  begin = all.first * layout.a_token + between,
                  end = all.last * layout.a_token + between;
    const index_t first = layout.row(batch, begin, head), last = layout.row(batch, end, head);
    const int lane = block.thread() % warp_threads;
    for (index_t key = lane; layout.exclusive && key < n.keys; key += warp_threads) {
      to.k[first * n.keys + key] = C(0), to.gate[first * n.keys + key] = C(1);
      to.q[last * n.keys + key] = C(0);
    }
    const index_t values = layout.values();
    for (index_t value = lane; layout.exclusive && value < values; value += warp_threads) {
      to.v[first * values + value] = C(0);
      if (d_o != nullptr) d_o[last * values + value] = C(0);
    }
    if (layout.sequences.offsets == nullptr || head > 0 || lane > 0) return;
    layout.offsets[sequence] = begin;
    if (sequence + 1 == n.sequences) layout.offsets[n.sequences] = layout.exclusive ? end + 1 : end;
  }
};

/// What a query reads: o of its row, and its own token.
template <class R, class C>
struct outputs_of_rows {
  const C *o = nullptr, *own_scores = nullptr;

  GATESCAN_HD C at(const row_layout<R>& layout, const token_place& place, index_t value,
                   C v) const {
    const C sum = o[place.query * layout.values() + value];
    if constexpr (row_layout<R>::exclusive)
      return fma(own_scores[place.token], v, sum);
    else
      return sum;
  }
  GATESCAN_HD C normaliser(const row_layout<R>& layout, const token_place& place) const {
    return o[place.query * layout.values() + layout.n.values];
  }
  /// What the rest of a token's row is divided by.
  template <class X, class At, class Token>
  GATESCAN_HD C divisor(const row_layout<R>& layout, const token_place& place, const X& x,
                        const At& at, const Token& token) const {
    if constexpr (R::form.normaliser)
      if (layout.normalised())
        return stages<R>::denominator(x, at, token, normaliser(layout, place));
    return C(1);
  }
};

template <class R, class T>
struct epilogue : warp_a_token<R, T> {
  using base = warp_a_token<R, T>;
  using base::p, base::layout;
  using C = typename base::C;
  using S = typename base::config::S;
  outputs_of_rows<R, C> o;
  operand<S> out;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->with_token(block, [&](const auto& x, const auto& at, const token_place& place,
                                const token_weight<C>& weight) {
      const auto token = stages<R>::token(x, at, weight);
      const index_t head = place.token % p.n.heads, batch = place.token / p.n.heads / p.n.time;
      const auto head_out = out.of_head(batch, head, 0);
      [[maybe_unused]] const C by = o.divisor(layout, place, x, at, token);
      base::for_each_lane(block.thread(), p.n.values, [&](index_t value) {
        const auto here = base::at_value(at.time, value);
        const auto w = stages<R>::values(x, here, token);
        C read = o.at(layout, place, value, w.v);
        if constexpr (R::form.normaliser) read = read / by;
        head_out.re[at.time * head_out.time + value * head_out.value] =
            convert<S>(stages<R>::output(x, here, token, w, read));
      });
    });
  }
};

/// The gradient of o from that of the output; 0 where there is none. With a normaliser, o being
/// what comes out of the division by D(n_t):
///
///   d_o := d_o / D      d_n = D'(n_t) (-sum_v d_o[v] o[v])
template <class R, class T>
struct epilogue_adjoint : warp_a_token<R, T> {
  static constexpr needs of_beside = needs::state;
  using base = warp_a_token<R, T>;
  using base::p, base::layout;
  using C = typename base::C;
  outputs_of_rows<R, C> o;  // none, where neither epilogue nor normaliser needs it
  operand<const typename base::config::S> d_out;
  C* to;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->with_token(block, [&](const auto& x, const auto& at, const token_place& place,
                                const token_weight<C>& weight) {
      const auto token = stages<R>::token(x, at, weight);
      const index_t head = place.token % p.n.heads, batch = place.token / p.n.heads / p.n.time;
      const auto head_d_out = d_out.of_head(batch, head, 0);
      [[maybe_unused]] const C by = o.divisor(layout, place, x, at, token);
      [[maybe_unused]] C products = 0;
      base::for_each_lane(block.thread(), p.n.values, [&](index_t value) {
        const auto here = base::at_value(at.time, value);
        const auto w = stages<R>::values(x, here, token);
        std::remove_const_t<decltype(w)> d_w{};
        std::remove_const_t<decltype(token)> d_token{};
        C read = o.o != nullptr ? o.at(layout, place, value, w.v) : C(0);
        if constexpr (R::form.normaliser) read = read / by;
        C g = stages<R>::output_adjoint(x, typename base::config::sums{}, here, token, d_token, w,
                                        d_w, read, d_out.given ? here(head_d_out) : C(0));
        if constexpr (R::form.normaliser) g = g / by, products = fma(g, read, products);
        to[place.query * layout.values() + value] = g;
        if (row_layout<R>::low_rank) to[place.gate * layout.values() + value] = C(0);
      });
      if constexpr (R::form.normaliser) {
        products = add_over_lanes<C>(block, products, warp_threads);
        this->leave_normaliser(block, place, x, at, token, -products);
      }
    });
  }

  template <class Block, class X, class At, class Token>
  GATESCAN_HD void leave_normaliser(Block& block, const token_place& place, const X& x,
                                    const At& at, const Token& token, C d_divisor) const {
    if (!layout.normalised() || block.thread() % warp_threads != 0) return;
    to[place.query * layout.values() + p.n.values] =
        stages<R>::denominator_adjoint(x, at, token, o.normaliser(layout, place), d_divisor);
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
