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

/// The token of a warp: f(x, at, row) with its head's operands, a cursor for the token stage and
/// the token's row.
template <class R, class T>
struct warp_a_token {
  using config = tile_config<R, T>;
  using C = typename config::C;
  static_assert(!config::complex, "lowered recurrences are of real numbers");
  static constexpr int warps = config::threads / warp_threads;

  problem_of<R, T> p;
  time_split sequences;

  index_t blocks() const { return ceil_divide(row_count(p.n), warps); }
  int threads() const { return config::threads; }
  int shared_bytes() const { return 0; }

  template <class Block, class F>
  GATESCAN_HD void with_token(Block& block, F&& f) const {
    const index_t row = block.index() * warps + block.thread() / warp_threads;
    if (row >= p.n.batch * p.n.time * p.n.heads) return;
    const index_t head = row % p.n.heads, time = row / p.n.heads % p.n.time,
                  batch = row / p.n.heads / p.n.time;
    if (sequences.sequence_at(batch, time) < 0) return;
    f(head_operands(p, batch, head), token_cursor<C, Block>{block, time, p.n.keys}, row);
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
  using base = warp_a_token<R, T>;
  using base::p;
  token_rows<typename base::C> to;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->with_token(block, [&](const auto& x, const auto& at, index_t row) {
      const auto token = stages<R>::token(x, at, token_weight<typename base::C>{});
      base::for_each_lane(block.thread(), p.n.keys, [&](index_t key) {
        const auto of = stages<R>::keys(x, at.at_key(key), token);
        const index_t here = row * p.n.keys + key;
        to.q[here] = of.q, to.k[here] = of.k, to.gate[here] = of.gate;
        if constexpr (R::form.moves == transition::corrected) to.p[here] = of.p;
      });
      base::for_each_lane(block.thread(), p.n.values, [&](index_t value) {
        to.v[row * p.n.values + value] =
            stages<R>::values(x, base::at_value(at.time, value), token).v;
      });
    });
  }
};

template <class R, class T>
struct epilogue : warp_a_token<R, T> {
  using base = warp_a_token<R, T>;
  using base::p;
  using S = typename base::config::S;
  const typename base::C* o;
  operand<S> out;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->with_token(block, [&](const auto& x, const auto& at, index_t row) {
      const auto token = stages<R>::token(x, at, token_weight<typename base::C>{});
      const auto head_out = out.of_head(row / p.n.heads / p.n.time, row % p.n.heads, 0);
      base::for_each_lane(block.thread(), p.n.values, [&](index_t value) {
        const auto here = base::at_value(at.time, value);
        const auto w = stages<R>::values(x, here, token);
        head_out.re[at.time * head_out.time + value * head_out.value] =
            convert<S>(stages<R>::output(x, here, token, w, o[row * p.n.values + value]));
      });
    });
  }
};

/// The gradient of o from that of the output; 0 where there is none.
template <class R, class T>
struct epilogue_adjoint : warp_a_token<R, T> {
  using base = warp_a_token<R, T>;
  using base::p;
  using C = typename base::C;
  const C* o;  // where the epilogue's adjoint needs it
  operand<const typename base::config::S> d_out;
  C* to;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->with_token(block, [&](const auto& x, const auto& at, index_t row) {
      const auto token = stages<R>::token(x, at, token_weight<C>{});
      const auto head_d_out = d_out.of_head(row / p.n.heads / p.n.time, row % p.n.heads, 0);
      base::for_each_lane(block.thread(), p.n.values, [&](index_t value) {
        const auto here = base::at_value(at.time, value);
        const auto w = stages<R>::values(x, here, token);
        std::remove_const_t<decltype(w)> d_w{};
        std::remove_const_t<decltype(token)> d_token{};
        const index_t at_row = row * p.n.values + value;
        to[at_row] = stages<R>::output_adjoint(x, typename base::config::sums{}, here, token,
                                               d_token, w, d_w, o != nullptr ? o[at_row] : C(0),
                                               d_out.given ? here(head_d_out) : C(0));
      });
    });
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
