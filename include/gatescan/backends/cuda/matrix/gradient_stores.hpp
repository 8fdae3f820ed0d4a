#pragma once
// Where the threads of the last backward passes leave what they know of a gradient: threads of the
// key side a key, threads of the value side a value, a chunk each. A side adds to the operands that
// have its axis, or neither; where its adjoints add to one of the other axis, which it read at the
// first key or value, it leaves sums apart.

#include "../../../core/error.hpp"
#include "sides.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T>
struct gradient_stores {
  using config = tile_config<R, T>;
  using C = typename config::C;
  // threads of a block that share a key, or a value, and have tokens of their own
  static constexpr int key_groups = config::threads / config::key_side_keys,
                       value_groups = config::threads / config::values;

  typename config::sinks sinks{};
  bool packed = false;
  index_t keys = 0, values = 0;

  gradient_stores() = default;
  /// at_first_key: that gradients of a head's gates come from key 0 alone.
  gradient_stores(const problem_of<R, T>& p, const typename config::operands_to& to,
                  const time_split& chunks, bool at_first_key = false)
      : packed(chunks.packed), keys(p.n.keys), values(p.n.values) {
    R::operands(
        [&](const char* name, const axes& a, presence, const auto& target, const auto& added,
            auto& sink, const auto& operand, const auto& not_of_gates) {
          using sink_type = std::remove_reference_t<decltype(sink)>;
          const bool in_time = a.has(axis::time);
          sizes seen = p.n;
          // (a plan's operands are not given)
          if (at_first_key && target.given && !not_of_gates.given && operand.one_key) seen.keys = 1;
          if (!in_time && packed) seen.sequences = 1;  // every slot is a copy
          sink = sink_type(target, a, seen, packed, 1);
          if (!target.given) return;
          if (sink.has_key && sink.has_value)
            fail<shape_error>(std::string(name) +
                              ": expected keys or values among the axes of a matrix state's operand"
                              ", got both");
          const index_t in_time_copies = in_time  ? 1
                                         : packed ? chunks.slot_count()
                                                  : chunks.per_sequence;
          const index_t key_threads = in_time ? 1 : key_groups,
                        value_threads = in_time ? 1 : value_groups;
          const index_t a_chunk = sink.has_key     ? key_threads
                                  : sink.has_value ? value_threads
                                                   : keys * key_threads + values * value_threads;
          sink = sink_type(target, a, seen, packed, a_chunk * in_time_copies);
          if (sink.has_key && added.values)
            sink.expect_cross_side(values * value_threads * in_time_copies);
          if (sink.has_value && added.keys)
            sink.expect_cross_side(keys * key_threads * in_time_copies);
        },
        to, sides_that_add(p), sinks, p.x, without_gate<R>(to));
  }
  void take(arena& memory) {
    R::operands([&](const char*, const axes&, presence, auto& sink) { sink.take(memory); }, sinks);
  }
  template <class Device>
  void add_up(const Device& gpu, const sizes& n) const {
    R::operands([&](const char*, const axes&, presence,
                    const auto& sink) { add_partial_sums(gpu, sink, n, packed); },
                sinks);
  }
  bool wants(side which) const {
    bool any = false;
    R::operands([&](const char*, const axes&, presence,
                    const auto& sink) { any = any || (sink.to.given && belongs(which, sink)); },
                sinks);
    return any;
  }

  /// Stores the gradients of operands with a time axis and clears their sums.
  GATESCAN_HD void store_token(side which, typename config::sums& sums, const segment& chunk,
                               index_t head, index_t time, index_t index) const {
    const typename config::cursor at = cursor_at(which, chunk, head, time, index);
    R::operands(
        [&](const char*, const axes&, presence, const auto& sink, auto& sum) {
          if (!sink.to.given || !sink.has_time || !belongs(which, sink)) return;
          if (is_cross_side(which, sink))
            sink.store_cross_side(at, chunk.sequence, index, sum);
          else
            sink.store(at, chunk.sequence,
                       !has_no_side(sink)    ? 0
                       : which == side::keys ? index
                                             : keys + index,
                       sum);
          sum = {};
        },
        sinks, sums);
  }
  /// The same of `count` tokens of d from `time` on, whose other gradients are added to sums.
  template <int Most>
  GATESCAN_HD void store_tokens(side which, const registers<typename config::sums, Most>& d,
                                int count, typename config::sums& sums, const segment& chunk,
                                index_t head, index_t time, index_t index) const {
    const typename config::cursor at = cursor_at(which, chunk, head, time, index);
    // by axes, which a compiler knows
    const auto store = [&](const char*, const axes& a, presence, const auto& sink, auto& sum,
                           const auto&... of_token) {
      const bool has_key = a.has(axis::key) || a.has(axis::key_or_one),
                 has_value =
                     a.has(axis::value) || a.has(axis::value_or_one) || a.has(axis::channel),
                 cross_side = which == side::keys ? has_value : has_key;
      if (!sink.to.given || (cross_side && sink.cross_sides == 0)) return;
      if (has_key && !cross_side && index >= sink.keys) return;
      int n = 0;
      if (!a.has(axis::time)) {
        ((n++ < count ? void((sum.re += of_token.re, sum.im += of_token.im)) : void()), ...);
      } else if (cross_side) {
        auto here = at;
        ((n++ < count ? sink.store_cross_side(here, chunk.sequence, index, of_token) : void(),
          ++here.time),
         ...);
      } else {
        const index_t copy = has_key || has_value ? 0 : which == side::keys ? index : keys + index;
        sink.template store_tokens<config::complex>(sink.place_of(at, chunk.sequence, copy), count,
                                                    of_token...);
      }
    };
    for_each_sums(std::make_index_sequence<static_cast<std::size_t>(Most)>{}, store, d, sums);
  }
  /// Stores those without, at the end of a chunk.
  GATESCAN_HD void store_parameters(side which, const typename config::sums& sums,
                                    const segment& chunk, index_t head, index_t index,
                                    index_t group) const {
    const typename config::cursor at = cursor_at(which, chunk, head, 0, index);
    const bool key_side = which == side::keys;
    const index_t sequence = packed ? 0 : chunk.sequence, copy = packed ? chunk.slot : chunk.index,
                  key_threads = keys * key_groups, value_threads = values * value_groups,
                  thread = index * (key_side ? key_groups : value_groups) + group;
    R::operands(
        [&](const char*, const axes&, presence, const auto& sink, const auto& sum) {
          if (!sink.to.given || sink.has_time || !belongs(which, sink)) return;
          if (key_side && sink.has_key && index >= sink.keys) return;
          if (is_cross_side(which, sink)) {
            sink.store_cross_side(at, sequence,
                                  copy * (key_side ? key_threads : value_threads) + thread, sum);
          } else if (has_no_side(sink)) {
            sink.store(
                at, sequence,
                copy * (key_threads + value_threads) + (key_side ? thread : key_threads + thread),
                sum);
          } else {
            sink.store(at, sequence, copy * (key_side ? key_groups : value_groups) + group, sum);
          }
        },
        sinks, sums);
  }

 private:
  template <std::size_t... N, class F, class D>
  GATESCAN_HD void for_each_sums(std::index_sequence<N...>, const F& f, const D& d,
                                 typename config::sums& sums) const {
    R::operands(f, sinks, sums, d[N]...);
  }
  template <class Sink>
  GATESCAN_HD static bool has_no_side(const Sink& sink) {
    return !sink.has_key && !sink.has_value;
  }
  // has the other side's axis
  template <class Sink>
  GATESCAN_HD static bool is_cross_side(side which, const Sink& sink) {
    return which == side::keys ? sink.has_value : sink.has_key;
  }
  template <class Sink>
  GATESCAN_HD static bool belongs(side which, const Sink& sink) {
    return !is_cross_side(which, sink) || sink.cross_sides > 0;
  }
  GATESCAN_HD static typename config::cursor cursor_at(side which, const segment& chunk,
                                                       index_t head, index_t time, index_t index) {
    if (which == side::keys) return {chunk.batch, time, head, index, 0};
    return {chunk.batch, time, head, 0, index};
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
