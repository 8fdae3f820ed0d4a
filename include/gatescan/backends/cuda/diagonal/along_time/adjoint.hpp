#pragma once
// Gradients of a channel along time: tiles from the last to the first, threads scanned against
// time. With g_t the gradient of the state after token t, and conj where numbers are complex
//
//   g_{t-1} = a_t (g_t + do_t)   da_t = (g_t + do_t) h_{t-1}   dv_t = g_t + do_t

#include "../../operands/collect.hpp"
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
      typename base::channel, typename base::loaded, typename base::numbers, typename base::place;
  using accumulators = typename R::template fields<accumulator<C>>;
  using values_type = typename channel::values_type;
  using tokens = tokens_of_operand<C, IsComplex, base::thread_tokens>;
  using step = state_step<D>;

  operand<const S> d_out;
  scratch_array<E> kept;  // states at the starts of threads' tokens

  /// A thread's tokens: operands, gates, states before them, gradients of the output and of o.
  struct thread_tile {
    loaded x;
    numbers gates, before, d_o;
    tokens d_out;
    E last;  // the state after them

    GATESCAN_HD E after(int i, int count) const { return i + 1 < count ? before[i + 1] : last; }
  };

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
  GATESCAN_HD thread_tile tile_again(Block& block, const channel& keys, const segment& s,
                                     const channel_thread& thread, index_t t, int count,
                                     int left) const {
    thread_tile tile{this->load(block, keys, t, left), {}, {}, {}, {}, {}};
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
    base::template for_tokens<false>(count, [&](int i) {
      const place at{i};
      const values_type w = R::values(tile.x, at);
      tile.gates[i] = R::gate(tile.x, at, w);
      tile.before[i] = h;
      h = base::next(tile.gates[i], w.v, h);
      accumulators ignored{};
      values_type also_ignored{};
      tile.d_o[i] =
          R::output_adjoint(tile.x, ignored, at, w, also_ignored, h, at.element(tile.d_out));
    });
    tile.last = h;
    return tile;
  }
  GATESCAN_HD static E before_token(E gate, E g, E d_o) {
    return is_zero(gate) ? number_cast<E>(0) : conj(gate) * (g + d_o);
  }
  /// What the thread's tokens make of a gradient that comes to their end.
  GATESCAN_HD static step step_back(const thread_tile& tile, int count) {
    E product = number_cast<E>(1), sum = number_cast<E>(0);
    bool was_reset = false;
    against_tokens(count, [&](int i) {
      const bool reset = is_zero(tile.gates[i]);
      sum = before_token(tile.gates[i], sum, tile.d_o[i]);
      product = reset ? number_cast<E>(0) : fixed_product(product, E(conj(tile.gates[i])));
      was_reset = was_reset || reset;
    });
    return {number_cast<D>(product), number_cast<D>(sum), was_reset};
  }
  template <class Block>
  GATESCAN_HD static step steps_after(Block& block, const step& own, step& all) {
    return block.template exclusive_scan_back<base::block_threads>(own, step{}, all,
                                                                   one_after_another{});
  }
  template <class F>
  GATESCAN_HD static void against_tokens(int count, F&& f) {
    unrolled<base::thread_tokens>([&](int n) {
      const int i = base::thread_tokens - 1 - n;
      if (i < count) f(i);
    });
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
                         base::steps_after(block, base::step_back(tile, count), all);
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
      typename base::thread_tile, typename base::accumulators, typename base::values_type;
  using collector_type = collector<R, T, IsComplex, 1, channel::chunk_tokens, true>;
  using gradients_of_tokens = typename R::template fields<typename base::tokens>;
  using wide_sums = typename R::template fields<accumulator<double>>;
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
            const auto after = base::steps_after(block, base::step_back(tile, count), all);
            D in = after.of(g[0]), end = all.of(g[0]);
            const int turn = base::block_threads - 1 - block.thread();
            if (turn == 0) in = g[0];
            if (block.any(!is_finite(number_cast<E>(in)) || !is_finite(number_cast<E>(end))))
              base::one_by_one(block, turn, passed, g[0], in, end, [&](E state) {
                base::against_tokens(count, [&](int i) {
                  state = base::before_token(tile.gates[i], state, tile.d_o[i]);
                });
                return state;
              });
            g[0] = end;
            gradients_of_tokens d;
            of_tokens(tile, count, number_cast<E>(in), d, total);
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
  // Gradients of a thread's tokens; what is of all tokens is added to `total`.
  GATESCAN_HD static void of_tokens(const thread_tile& tile, int count, E g, gradients_of_tokens& d,
                                    wide_sums& total) {
    accumulators own{};
    base::against_tokens(count, [&](int i) {
      R::operands(
          [](const char*, const axes& a, presence, auto& sum) {
            if (a.has(axis::time)) sum.re = sum.im = 0;
          },
          own);
      const typename base::place at{i};
      const values_type w = R::values(tile.x, at);
      const E a = tile.gates[i], to_state = g + tile.d_o[i];
      values_type d_w{};
      d_w.v = d_w.v + to_state;
      R::gate_adjoint(tile.x, own, at, w, d_w, a, to_state * conj(tile.before[i]));
      g = base::before_token(a, g, tile.d_o[i]);
      R::output_adjoint(tile.x, own, at, w, d_w, tile.after(i, count), at.element(tile.d_out));
      R::values_adjoint(tile.x, own, at, w, d_w);
      R::operands(
          [i](const char*, const axes& a_of, presence, const auto& sum, auto& of_token) {
            if (!a_of.has(axis::time)) return;
            of_token.re[i] = sum.re;
            if constexpr (IsComplex) of_token.im[i] = sum.im;
          },
          own, d);
    });
    R::operands(
        [](const char*, const axes& a, presence, const auto& sum, auto& all) {
          if (a.has(axis::time)) return;
          all.re += static_cast<double>(sum.re), all.im += static_cast<double>(sum.im);
        },
        own, total);
  }
  GATESCAN_HD static auto cursor_at(const segment& s, const channel_thread& thread) {
    return cursor<C, IsComplex>{s.batch, 0, thread.head, 0, thread.value};
  }
  template <class Block>
  GATESCAN_HD void leave_tokens(Block& block, const segment& s, const channel_thread& thread,
                                index_t t, int count, int left, gradients_of_tokens& d) const {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& sink, auto& own) {
          if (!sink.to.given || !a.has(axis::time)) return;
          const index_t o = place_of(a, sink, s, thread);
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
          const index_t o = place_of(a, sink, s, thread);
          for (index_t i = t + block.thread(); i < t + left; i += base::block_threads)
            sink.store_imaginary_zero(o + i * sink.by_token);
        },
        collect.to);
  }
  template <class Sink>
  GATESCAN_HD index_t place_of(const axes& a, const Sink& sink, const segment& s,
                               const channel_thread& thread) const {
    return sink.place_of(cursor_at(s, thread), collect.lead(sink, s),
                         collect.copy(a, sink, thread, s));
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
            sink.store(cursor_at(s, thread), collect.lead(sink, s),
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
