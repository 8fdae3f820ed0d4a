#pragma once
// A thread's keys of one channel, walked through a chunk of tokens: as the recurrence stands, or as
// a local sum beside the decayed incoming state, which is carried from chunk to chunk with more
// digits.

#include <type_traits>
#include <utility>

#include "../../../core/concepts.hpp"
#include "../../../core/problem.hpp"
#include "../numbers.hpp"
#include "../operands/channel_map.hpp"
#include "../operands/chunk_storage.hpp"
#include "../operands/cursor.hpp"
#include "../operands/scratch_array.hpp"
#include "../time_split.hpp"
#include "../tuning.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {

template <class R, class T, bool IsComplex, int Keys>
struct channel_keys {
  using S = storage_t<T>;
  using C = state_t<T>;
  using E = number_t<C, IsComplex>;
  using W = carrier<C, IsComplex>;
  using cursor = gpu::cursor<C, IsComplex>;
  using operands = operands_of<R, T>;
  using values_type =
      decltype(R::values(std::declval<const operands&>(), std::declval<const cursor&>()));
  using output_type =
      decltype(R::output(std::declval<const operands&>(), std::declval<const cursor&>(),
                         std::declval<const values_type&>(), E{}));
  static constexpr int thread_keys = Keys;
  static constexpr bool unit_keys = has_unit_keys<R>();
  static constexpr bool simple_output =
      std::is_base_of_v<plain_output, R>;  // its adjoint does not ask for o
  // tokens that go together: as many as registers, and shared memory, hold
  static constexpr int chunk_tokens = Keys == 1 ? tuned.chunk_bytes / static_cast<int>(sizeof(E))
                                      : sizeof(E) > 4 ? tuned.chunk_tokens / 2
                                                      : tuned.chunk_tokens;

  operands x;  // of this channel: only the strides of time and key count
  index_t keys, first_key;
  int lanes, part;  // threads of the channel, and which of them this is

  GATESCAN_HD channel_keys(const operands& all, const channel_thread& thread, index_t batch,
                           const channel_map& map)
      : x(all), keys(map.keys), first_key(thread.key), lanes(map.lanes), part(thread.part) {
    R::operands([&](const char*, const axes&, presence, const auto& from,
                    auto& to) { to = from.of_head(batch, thread.head, thread.value); },
                all, x);
  }

  GATESCAN_HD bool holds(int n) const { return first_key + n * lanes < keys; }
  GATESCAN_HD index_t key(int n) const { return unit_keys ? 0 : first_key + n * lanes; }
  GATESCAN_HD cursor cursor_at(index_t t, int n) const { return {0, t, 0, key(n), 0}; }
  GATESCAN_HD cursor cursor_at(index_t t) const { return {0, t, 0, 0, 0}; }
  GATESCAN_HD auto input(const cursor& at, const values_type& w) const {
    if constexpr (unit_keys)
      return w.v;
    else
      return R::keys(x, at).k * w.v;
  }
  GATESCAN_HD E read_out(const cursor& at, E h, E sum) const {
    if constexpr (unit_keys)
      return sum + h;
    else
      return fma(E(R::keys(x, at).q), h, sum);
  }

  // ---- what the lanes of a channel need only once: each does it for some of the tokens

  template <class V, class Block>
  GATESCAN_HD static auto tokens(Block& block, const channel_map& map) {
    if constexpr (unit_keys)
      return own_tokens<V, chunk_tokens>{};
    else
      return storage<V>(block, map);
  }
  template <class V>
  static int token_bytes(const channel_map& map) {
    return unit_keys ? 0 : storage_bytes<V>(map);
  }
  template <class V, class Block>
  GATESCAN_HD static auto storage(Block& block, const channel_map& map) {
    const index_t width = block.threads() / map.lanes;
    const auto array = block.template shared<V>(chunk_tokens * width);
    return shared_tokens<V, std::remove_const_t<decltype(array)>>{array, block.thread() / map.lanes,
                                                                  width};
  }
  template <class V>
  static int storage_bytes(const channel_map& map) {
    return shared_size<V>(chunk_tokens * (map.block_threads / map.lanes));
  }
  template <class Block>
  GATESCAN_HD static auto key_storage(Block& block) {
    const auto array = block.template shared<E>(chunk_tokens * Keys * block.threads());
    return shared_key_tokens<E, std::remove_const_t<decltype(array)>, Keys>{array, block.thread(),
                                                                            block.threads()};
  }
  static int key_storage_bytes(const channel_map& map) {
    return shared_size<E>(chunk_tokens * Keys * map.block_threads);
  }
  /// f(i, whether there is such a token) for the tokens of a chunk that are this thread's. Every
  /// lane of a warp calls it as often.
  template <bool Full, class F>
  GATESCAN_HD void for_own_tokens(int count, F&& f) const {
    if constexpr (unit_keys) {
      for (int i = 0; i < chunk_tokens; ++i)
        if (Full || i < count) f(i, true);
    } else {
      for (int i = part; i - part < count; i += lanes) f(i, i < count);
    }
  }
  GATESCAN_HD bool owns(int i) const { return unit_keys || (i & (lanes - 1)) == part; }
  template <class Block>
  GATESCAN_HD static void sync_channel(Block& block) {
    if constexpr (!unit_keys) block.sync_warp();
  }
  template <bool Full, class Block, class Values>
  GATESCAN_HD void values(Block& block, index_t t, int count, Values& w) const {
    sync_channel(block);  // the last chunk's are read
    for_own_tokens<Full>(count, [&](int i, bool there) {
      if (there) w.put(i, R::values(x, cursor_at(t + i)));
    });
    sync_channel(block);
  }

  /// The state of key n after token t.
  GATESCAN_HD E next(index_t t, int n, const values_type& w, E h) const {
    const cursor at = cursor_at(t, n);
    const E a = R::gate(x, at, w), in = input(at, w);
    return is_zero(a) ? in : fma(a, h, in);
  }
  /// f(i) for the tokens of a chunk. Where a channel's keys are shared out, what a token has is not
  /// in registers, and the loop stays one.
  template <bool Full, class F>
  GATESCAN_HD static void for_tokens(int count, F&& f) {
    if constexpr (unit_keys) {
      unrolled<chunk_tokens>([&](int i) {
        if (Full || i < count) f(i);
      });
    } else {
      for (int i = 0; i < (Full ? chunk_tokens : count); ++i) f(i);
    }
  }
  /// States after the tokens as the recurrence stands; put(i, o) gets o of token i.
  template <bool Full, bool Outputs, class Block, class Values, class Put>
  GATESCAN_HD void exactly(Block& block, index_t t, int count, const Values& values_of,
                           registers<W, Keys>& h, Put&& put) const {
    registers<E, Keys> e;
    for (int n = 0; n < Keys; ++n) e[n] = number_cast<E>(h[n]);
    for_tokens<Full>(count, [&](int i) {
      const values_type w = values_of.at(i);
      E o = number_cast<E>(0);
      unrolled<Keys>([&](int n) {
        if (!holds(n)) return;
        e[n] = next(t + i, n, w, e[n]);
        if constexpr (Outputs) o = read_out(cursor_at(t + i, n), e[n], o);
      });
      if constexpr (Outputs) put(i, over_lanes(block, o));
    });
    for (int n = 0; n < Keys; ++n) h[n] = number_cast<W>(e[n]);
  }

  /// The same from a local sum: h = (product of gates) h_in + local. NaN in what is returned tells
  /// of Inf or NaN in the states. visit(n, product, local, was_reset) at the end.
  template <bool Full, bool Outputs, class Values, class Visit>
  GATESCAN_HD void local(index_t t, int count, const Values& w, const registers<W, Keys>& h,
                         registers<E, chunk_tokens>& o, Visit&& visit) const {
    unrolled<Keys>([&](int n) {
      if (!holds(n)) return;
      E in = number_cast<E>(h[n]), product = number_cast<E>(1), sum = number_cast<E>(0);
      bool was_reset = false;  // what came before does not count, Inf and NaN neither
      unrolled<chunk_tokens>([&](int i) {
        if (!Full && i >= count) return;
        const cursor at = cursor_at(t + i, n);
        const values_type v = w.at(i);
        const E a = R::gate(x, at, v), add = input(at, v);
        const bool reset = is_zero(a);
        sum = reset ? add : fma(a, sum, add);
        product = reset ? number_cast<E>(0) : fixed_product(product, a);
        was_reset = was_reset || reset;
        if constexpr (Outputs) {
          in = reset ? number_cast<E>(0) : in;
          o[i] = read_out(at, fma(product, in, sum), o[i]);
        }
      });
      visit(n, product, sum, was_reset);
    });
  }

  /// States of all keys of the tile after `count` tokens and, if asked for, o of the tokens that
  /// are this thread's. Where the fast form gives Inf or NaN, the recurrence as it stands: there a
  /// reset is exact, and nothing overflows that the definition does not overflow.
  template <bool Full, bool Outputs, class Block, class Values, class Sums>
  GATESCAN_HD void advance(Block& block, bool steps, index_t t, int count, const Values& w,
                           registers<W, Keys>& h, Sums& sums) const {
    if (steps) {
      exactly<Full, Outputs>(block, t, count, w, h, [&](int i, E o) {
        if (owns(i)) sums.put(i, o);
      });
      return;
    }
    registers<W, Keys> end;
    registers<E, chunk_tokens> o;
    for (int n = 0; n < Keys; ++n) end[n] = h[n];
    for (int i = 0; i < chunk_tokens; ++i) o[i] = number_cast<E>(0);
    C check = 0;
    local<Full, Outputs>(t, count, w, h, o, [&](int n, E product, E sum, bool was_reset) {
      const W from = was_reset ? number_cast<W>(0) : h[n];
      end[n] = fma(number_cast<W>(product), from, number_cast<W>(sum));
      check = check + zero_if_finite(number_cast<E>(end[n]));
    });
    if constexpr (Outputs)
      unrolled<chunk_tokens>([&](int i) {
        o[i] = over_lanes(block, o[i]);
        check = check + zero_if_finite(o[i]);
        if ((Full || i < count) && owns(i)) sums.put(i, o[i]);
      });
    bool again = !(check == C(0));
    if (Outputs && lanes > 1) again = any_in_warp(block, again);
    if (again) {
      registers<W, Keys> exact;
      for (int n = 0; n < Keys; ++n) exact[n] = h[n];
      exactly<false, Outputs>(block, t, count, w, exact, [&](int i, E exact_o) {
        if (owns(i) && !is_finite(sums.at(i))) sums.put(i, exact_o);
      });
      for (int n = 0; n < Keys; ++n)
        if (holds(n) && !is_finite(number_cast<E>(end[n]))) end[n] = exact[n];
    }
    for (int n = 0; n < Keys; ++n) h[n] = end[n];
  }
  // o is the sum over the channel's lanes, the same bits in each.
  template <class Block>
  GATESCAN_HD E over_lanes(Block& block, E o) const {
    if constexpr (!unit_keys)  // else there is one
      for (int m = 1; m < lanes; m *= 2) o = o + exchange(block, o, m);
    return o;
  }
  template <class Block>
  GATESCAN_HD static bool any_in_warp(Block& block, bool b) {
    float found = b ? 1.0f : 0.0f;
    for (int m = 1; m < warp_threads; m *= 2) found = found + block.shuffle_xor(found, m);
    return found > 0;
  }
  template <class Block>
  GATESCAN_HD static C exchange(Block& block, C x, int m) {
    return block.shuffle_xor(x, m);
  }
  template <class Block>
  GATESCAN_HD static cplx<C> exchange(Block& block, cplx<C> x, int m) {
    return {block.shuffle_xor(x.re, m), block.shuffle_xor(x.im, m)};
  }

  /// f.operator()<Full>(first token, count) for the chunks of [first, last).
  template <class F>
  GATESCAN_HD static void for_each_chunk(index_t first, index_t last, F&& f) {
    for (index_t t = first; t < last; t += chunk_tokens) {
      if (last - t >= chunk_tokens)
        f.template operator()<true>(t, chunk_tokens);
      else
        f.template operator()<false>(t, static_cast<int>(last - t));
    }
  }
};

}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
