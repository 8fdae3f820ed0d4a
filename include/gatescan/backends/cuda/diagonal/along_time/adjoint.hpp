#pragma once
// Gradients of a channel along time (thread_adjoint.hpp): tiles from the last to the first, threads
// scanned against time.

#include "../thread_adjoint.hpp"
#include "tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace along_time {

// What both programs do with a tile.
template <class R, class T, bool IsComplex>
struct adjoint_program : tile_program<R, T, IsComplex> {
  using base = tile_program<R, T, IsComplex>;
  using typename base::C, typename base::D, typename base::E, typename base::S,
      typename base::channel, typename base::numbers;
  using adjoint = thread_adjoint<R, T, IsComplex>;
  using step = typename adjoint::step;

  operand<const S> d_out;
  scratch_array<E> kept;  // states at the starts of threads' tokens

  /// f(its first token, tokens of the thread, tokens left), the last tile first. Tails have no form
  /// of their own: less code.
  template <class Block, class F>
  GATESCAN_HD static void for_each_tile_back(Block& block, const segment& s, F&& f) {
    if (s.tokens.first == s.tokens.last) return;
    for (index_t i = (s.tokens.count() - 1) / base::tile_tokens; i >= 0; --i)
      base::template for_tile<false>(
          block, s, s.tokens.first + i * base::tile_tokens,
          [&]<bool>(index_t t, int count, int left) { f(t, count, left); });
  }

  template <class Block>
  GATESCAN_HD adjoint tile_again(Block& block, const channel& keys, const segment& s,
                                 const channel_thread& thread, index_t t, int count,
                                 int left) const {
    adjoint tile{this->load(block, keys, t, left), {}, {}, {}, {}, {}};
    if (const operand<const S> own = d_out.of_head(s.batch, thread.head, thread.value); own.given) {
      base::read(block, own.re, own.time, t, left, tile.d_out.re);
      if constexpr (IsComplex)
        if (own.im != nullptr) base::read(block, own.im, own.time, t, left, tile.d_out.im);
    }
    E h = number_cast<E>(0);
    if (count > 0)
      h = kept.load(
          this->split.chunk_row(s, t + block.thread() * base::thread_tokens, base::thread_tokens),
          0, thread.channel);
    tile.template go_on_from<false>(h, count);
    return tile;
  }
  template <class Block>
  GATESCAN_HD static step steps_after(Block& block, const step& own, step& all) {
    return block.template exclusive_scan_back<base::block_threads>(own, step{}, all,
                                                                   one_after_another{});
  }
};

// The gradient of every segment's incoming state, had its last state none.
template <class R, class T, bool IsComplex>
struct segment_state_adjoint : adjoint_program<R, T, IsComplex> {
  static constexpr needs of_beside = needs::state;
  using base = adjoint_program<R, T, IsComplex>;
  using channel = typename base::channel;
  using D = typename base::D;
  scratch_array<D> gradients;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_channel(block,
                     [&](const segment& s, const channel_thread& thread, const channel& keys) {
                       registers<D, 1> g = {number_cast<D>(0)};
                       base::for_each_tile_back(block, s, [&](index_t t, int count, int left) {
                         const auto tile = this->tile_again(block, keys, s, thread, t, count, left);
                         typename base::step all;
                         base::steps_after(block, tile.template step_back<false>(count), all);
                         g[0] = all.of(g[0]);
                       });
                       this->store_row(gradients, s.slot, thread, keys, g);
                     });
  }
};

template <class R, class T, bool IsComplex>
struct segment_adjoint : adjoint_program<R, T, IsComplex> {
  using base = adjoint_program<R, T, IsComplex>;
  using typename base::C, typename base::D, typename base::E, typename base::channel,
      typename base::adjoint;
  using collector_type = typename adjoint::collector_type;
  using wide_sums = typename adjoint::wide_sums;
  collector_type collect;
  scratch_array<D> gradients;    // of the states at the ends of segments, where time is split
  operand<const C> final_state;  // its gradient
  gradient_sink<C, C> initial_state;

  int shared_bytes() const { return shared_size<E>(1); }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    this->of_channel(
        block, [&](const segment& s, const channel_thread& thread, const channel& keys) {
          const auto passed = block.template shared<E>(1);
          registers<D, 1> g;  // after the tile
          if (gradients.first != nullptr)
            this->load_row(gradients, s.slot, thread, keys, g);
          else
            this->load_state(final_state, s.sequence, thread, keys, g);
          wide_sums total{};
          base::for_each_tile_back(block, s, [&](index_t t, int count, int left) {
            const auto tile = this->tile_again(block, keys, s, thread, t, count, left);
            typename base::step all;
            const auto after = base::steps_after(block, tile.template step_back<false>(count), all);
            D in = after.of(g[0]), end = all.of(g[0]);
            const int turn = base::block_threads - 1 - block.thread();
            if (turn == 0) in = g[0];
            if (block.any(!is_finite(number_cast<E>(in)) || !is_finite(number_cast<E>(end))))
              base::one_by_one(block, turn, passed, g[0], in, end, [&](E state) {
                return tile.template back_from<false>(state, count);
              });
            g[0] = end;
            typename adjoint::gradients d;
            tile.template of_tokens<false>(count, number_cast<E>(in), d, total);
            leave_tokens(block, s, thread, t, count, left, d);
          });
          leave_totals(block, s, thread, total);
          if (s.opens) {
            const registers<E, 1> first = {number_cast<E>(g[0])};
            this->store_state_gradient(initial_state, s.sequence, thread, keys, first);
          }
        });
  }

 private:
  template <class Block>
  GATESCAN_HD void leave_tokens(Block& block, const segment& s, const channel_thread& thread,
                                index_t t, int count, int left,
                                typename adjoint::gradients& d) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, auto& own) {
          if (!sink.to.given || !a.has(axis::time)) return;
          const index_t o = adjoint::place_of(collect, a, sink, s, thread);
          if (sink.exclusive) {
            base::write(block, sink.to.re + o, sink.by_token, t, left, own.re);
            if constexpr (IsComplex)
              if (sink.to.im != nullptr)
                base::write(block, sink.to.im + o, sink.by_token, t, left, own.im);
          } else {
            C* const to =
                sink.partial + o + (t + block.thread() * base::thread_tokens) * sink.by_token;
            base::template for_tokens<false>(count, [&](int i) {
              to[i * sink.by_token] = own.re[i];
              if constexpr (IsComplex)
                if (sink.to.im != nullptr) to[sink.plane_size() + i * sink.by_token] = own.im[i];
            });
          }
        },
        collect.to, d);
    if constexpr (!IsComplex) leave_no_imaginary_parts(block, s, thread, t, left);
  }
  // Imaginary parts of real gradients are 0, and need no transpose.
  template <class Block>
  GATESCAN_HD void leave_no_imaginary_parts(Block& block, const segment& s,
                                            const channel_thread& thread, index_t t,
                                            int left) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink) {
          if (sink.to.im == nullptr || !a.has(axis::time)) return;
          const index_t o = adjoint::place_of(collect, a, sink, s, thread);
          for (index_t i = t + block.thread(); i < t + left; i += base::block_threads)
            sink.store_imaginary_zero(o + i * sink.by_token);
        },
        collect.to);
  }
  template <class Block>
  GATESCAN_HD void leave_totals(Block& block, const segment& s, const channel_thread& thread,
                                const wide_sums& total) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, const auto& own) {
          if (!sink.to.given || a.has(axis::time)) return;
          const auto add = [](double x, double y) { return x + y; };
          accumulator<double> sum;
          sum.re = block.template sum<base::block_threads>(own.re, add);
          if constexpr (IsComplex) sum.im = block.template sum<base::block_threads>(own.im, add);
          if (thread.active)
            sink.store(adjoint::cursor_at(s, thread), collect.lead(sink, s),
                       collect.copy(a, sink, thread, s), collector_type::narrow(sum));
        },
        collect.to, total);
  }
};

}  // namespace along_time
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
