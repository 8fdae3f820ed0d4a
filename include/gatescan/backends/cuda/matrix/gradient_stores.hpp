#pragma once
// Where the threads of the last backward passes leave what they know of a gradient: threads of the
// key side a key, threads of the value side a value, a chunk each.

#include "tile.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

enum class side { keys, values };

template <class R, class T>
struct gradient_stores {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  // threads of a block that share a key, or a value, and have tokens of their own
  static constexpr int key_groups = kit::threads / kit::key_side_keys,
                       value_groups = kit::threads / kit::values;

  typename kit::sinks sinks{};
  bool packed = false;
  index_t keys = 0, values = 0;

  gradient_stores() = default;
  gradient_stores(const typename kit::operands_to& to, const sizes& n, const time_chunks& chunks)
      : packed(chunks.packed), keys(n.keys), values(n.values) {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& target, auto& sink) {
          using sink_type = std::remove_reference_t<decltype(sink)>;
          const bool in_time = a.has(axis::time);
          sizes seen = n;
          if (!in_time && packed) seen.sequences = 1;  // every slot is a copy
          sink = sink_type(target, a, seen, packed, 1);
          const bool lone = !sink.has_key && !sink.has_value;
          const index_t threads = in_time ? 1 : sink.has_key ? key_groups : value_groups;
          const index_t a_chunk =
              lone ? in_time ? keys + values : keys * key_groups + values * value_groups : threads;
          const index_t in_time_copies = in_time ? 1 : packed ? chunks.slots : chunks.a_sequence;
          sink = sink_type(target, a, seen, packed, a_chunk * in_time_copies);
        },
        to, sinks);
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
  GATESCAN_HD void store_token(side which, typename kit::sums& sums, const chunk_place& here,
                               index_t head, index_t time, index_t index) const {
    const typename kit::at at = place_of(which, here, head, time, index);
    R::operands(
        [&](const char*, const axes&, presence, const auto& sink, auto& sum) {
          if (!sink.to.given || !sink.has_time || !belongs(which, sink)) return;
          const bool lone = !sink.has_key && !sink.has_value;
          sink.store(at, here.sequence, lone ? which == side::keys ? index : keys + index : 0, sum);
          sum = {};
        },
        sinks, sums);
  }
  /// Stores those without, at the end of a chunk.
  GATESCAN_HD void store_parameters(side which, const typename kit::sums& sums,
                                    const chunk_place& here, index_t head, index_t index,
                                    index_t group) const {
    const typename kit::at at = place_of(which, here, head, 0, index);
    R::operands(
        [&](const char*, const axes&, presence, const auto& sink, const auto& sum) {
          if (!sink.to.given || sink.has_time || !belongs(which, sink)) return;
          const bool lone = !sink.has_key && !sink.has_value, key_side = which == side::keys;
          const index_t of_side = lone ? key_side ? index * key_groups + group
                                                  : keys * key_groups + index * value_groups + group
                                       : group;
          const index_t a_chunk = lone           ? keys * key_groups + values * value_groups
                                  : sink.has_key ? key_groups
                                                 : value_groups;
          sink.store(at, packed ? 0 : here.sequence,
                     (packed ? here.slot : here.chunk) * a_chunk + of_side, sum);
        },
        sinks, sums);
  }

 private:
  template <class Sink>
  GATESCAN_HD static bool belongs(side which, const Sink& sink) {
    return which == side::keys ? !sink.has_value : !sink.has_key;
  }
  GATESCAN_HD static typename kit::at place_of(side which, const chunk_place& here, index_t head,
                                               index_t time, index_t index) {
    if (which == side::keys) return {here.batch, time, head, index, 0};
    return {here.batch, time, head, 0, index};
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
