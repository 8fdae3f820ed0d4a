#pragma once
// Where gradients go. A recurrence adds to small tiles; a tile is flushed into the caller's memory,
// rounded once. Where that memory has a tile's form it is the tile itself. Where one element of a
// gradient collects from several places (grouped heads, parameters without a time axis, stride 0),
// every slot of the work has a partial sum of its own, and the partial sums are added in the order
// of the slots: the bits do not depend on the number of threads.

#include <algorithm>
#include <type_traits>

#include "../../../core/workspace.hpp"
#include "../threads/parallel_for.hpp"
#include "cursor.hpp"
#include "work_split.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, class S>
struct gradient_target {
  operand<S> to{};
  bool exclusive = true;
  bool is_state = false;    // one a sequence, without time
  bool set_once = false;    // every place of a tile is added to, exactly once
  bool adds_lanes = false;  // tiles hold a register an element: its lanes belong to one number
  index_t batches = 1, tokens = 1, heads = 1, keys = 1,
          values = 1;  // extents of the sum, 1 where shared
  index_t slot_batches = 1;
  C* partial = nullptr;  // [slot][plane][batch][token][head][key][value]

  bool in_time() const { return to.time != 0; }
  // The tile lies in the caller's memory: whole registers of neighbours that nobody else adds to.
  bool in_place() const {
    if constexpr (!std::is_same_v<C, S>) return false;
    const bool along_values = to.value != 0;
    const index_t row = along_values ? values : keys, step = along_values ? to.value : to.key;
    return to.given && exclusive && in_time() && step == 1 && (along_values || !adds_lanes) &&
           row % simd::lanes<C> == 0;
  }
  // Such a tile is set once and larger than the caches.
  bool streams() const {
    if constexpr (!std::is_same_v<C, S> || !simd::whole_lines) return false;
    const auto whole = [](index_t stride) { return stride == 1 || stride % simd::lanes<C> == 0; };
    const auto aligned = [](const S* p) { return is_aligned(p, simd::stream_alignment); };
    return set_once && exceeds_caches<C>(batches * tokens * heads * keys * values) &&
           whole(to.batch) && whole(to.time) && whole(to.head) && whole(to.key) &&
           whole(to.value) && aligned(to.re) && (to.im == nullptr || aligned(to.im));
  }
  index_t plane_size() const { return slot_batches * tokens * heads * keys * values; }
  index_t slot_size() const { return plane_size() * (to.complex ? 2 : 1); }

  gradient_target() = default;
  gradient_target(const operand<S>& target, const sizes& n, const work_split& split, bool state,
                  bool lanes_add, bool once = false)
      : to(target), is_state(state), set_once(once), adds_lanes(lanes_add) {
    if (!to.given) return;
    const index_t all_batches = state ? n.sequences : n.batch;
    batches = to.batch != 0 ? all_batches : 1;
    tokens = to.time != 0 ? n.time : 1;
    heads = to.head != 0 ? n.heads / to.heads_a_group : 1;
    keys = to.key != 0 ? n.keys : 1;
    values = to.value != 0 ? n.values : 1;
    const bool batch_shared = to.batch == 0 && all_batches > 1;
    const bool time_shared = !state && to.time == 0 && (split.segments > 1 || split.packed);
    const bool head_shared = n.heads > 1 && (to.head == 0 || to.heads_a_group > 1);
    const bool value_shared = to.value == 0 && split.value_blocks > 1;
    // without any work the result is an empty sum
    exclusive = split.items() > 0 && !batch_shared && !time_shared && !head_shared && !value_shared;
  }
  void take_partial(arena& scratch, const work_split& split) {
    if (!to.given || exclusive) return;
    slot_batches = to.batch != 0 ? split.most_batches(is_state) : 1;
    partial = scratch.take<C>(split.slot_count * slot_size());
  }
  void clear_partial(index_t slot) const {
    if (partial == nullptr) return;
    for (index_t i = 0; i < slot_size(); ++i) partial[slot * slot_size() + i] = C(0);
  }

  gradient_tile<C> take_tile(arena& scratch, index_t key_pitch, index_t value_pitch) const {
    gradient_tile<C> tile;
    if (!to.given) return tile;
    const index_t width = tile_width(value_pitch), rows = to.key != 0 ? key_pitch : 1;
    tile.given = true;
    tile.value = to.value != 0 ? 1 : 0;
    tile.key = to.key != 0 ? width : 0;
    tile.time = in_time() ? width * rows : 0;
    const index_t size = tile_size(tile, width, rows);
    tile.re = scratch.take<C>(size);
    if (to.complex) tile.im = scratch.take<C>(size);
    // room is taken in any case: a plan does not know the strides that come
    if (in_place()) {
      tile.time = to.time, tile.key = to.key, tile.value = to.value;
      if (set_once) tile.how = streams() ? writing::stream : writing::set;
    }
    return tile;
  }
  index_t tile_width(index_t value_pitch) const {
    return to.value != 0 ? value_pitch : adds_lanes ? simd::lanes<C> : 1;
  }
  // padded, so that a whole register can be added at any of its elements
  static index_t tile_size(const gradient_tile<C>& tile, index_t width, index_t rows) {
    return width * rows * (tile.time != 0 ? subchunk_tokens : 1) + simd::lanes<C>;
  }
  void clear_tile(const gradient_tile<C>& tile, index_t key_pitch, index_t value_pitch) const {
    if (!to.given || in_place()) return;
    const index_t size =
        tile_size(tile, tile_width(value_pitch), to.key != 0 ? key_pitch : 1) - simd::lanes<C>;
    for (index_t i = 0; i < size; ++i) tile.re[i] = C(0);
    if (tile.im != nullptr)
      for (index_t i = 0; i < size; ++i) tile.im[i] = C(0);
  }

  /// Before tokens [t, t + count) are added to.
  void open(gradient_tile<C>& tile, index_t b, index_t t, index_t count, index_t h,
            index_t first_value, index_t value_count) const {
    if constexpr (std::is_same_v<C, S>) {
      if (!in_place()) return;
      const index_t at = to.offset(b, t, h) + first_value * to.value;
      const index_t rows = to.value != 0 && to.key != 0 ? keys : 1;
      const index_t row = to.value != 0 ? value_count : keys;
      const auto place = [&](C* plane) {
        for (index_t i = 0; i < count && !set_once; ++i)
          for (index_t k = 0; k < rows; ++k)
            std::fill_n(plane + at + i * to.time + k * to.key, row, C(0));
        return plane + at;
      };
      tile.re = place(to.re);
      if (to.im != nullptr) tile.im = place(to.im);
    }
  }
  /// Moves `count` tokens (1 without a time axis) of the tile of head h, values from `first_value`
  /// on, to where they belong.
  void flush(const gradient_tile<C>& tile, index_t slot, const work_split& split, index_t b,
             index_t t, index_t count, index_t h, index_t first_value, index_t value_count) const {
    if (!to.given || in_place()) return;
    const bool along_values = to.value != 0;
    const index_t rows = along_values && to.key != 0 ? keys : 1;
    const index_t count_in_row = along_values ? value_count : to.key != 0 ? keys : 1;
    const index_t step = along_values ? 1 : tile.key, to_step = along_values ? to.value : to.key;
    const index_t tile_tokens = in_time() ? count : 1;
    for (index_t i = 0; i < tile_tokens; ++i)
      for (index_t k = 0; k < rows; ++k) {
        const index_t from = i * tile.time + k * tile.key;
        if (exclusive) {
          const index_t at = to.offset(b, t + i, h) + k * to.key + first_value * to.value;
          if (step == 1 && !adds_lanes && tile.im != nullptr && is_interleaved(to, to_step)) {
            interleave_row(tile.re + from, tile.im + from, count_in_row, to.re + at);
            continue;
          }
          move_row(tile.re + from, step, count_in_row, to.re + at, to_step);
          if (to.im == nullptr) continue;
          if (tile.im != nullptr)
            move_row(tile.im + from, step, count_in_row, to.im + at, to_step);
          else  // a real problem's
            for (index_t j = 0; j < count_in_row; ++j) to.im[at + j * to_step] = convert<S>(C(0));
        } else {
          const index_t batch = to.batch != 0 ? b - split.first_batch(slot, is_state) : 0;
          const index_t token = to.time != 0 ? t + i : 0,
                        head = to.head != 0 ? h / to.heads_a_group : 0;
          C* sum = partial + slot * slot_size() +
                   (((batch * tokens + token) * heads + head) * keys + k) * values +
                   (along_values ? first_value : 0);
          add_row(tile.re + from, step, count_in_row, sum);
          if (tile.im != nullptr && to.im != nullptr)
            add_row(tile.im + from, step, count_in_row, sum + plane_size());
        }
      }
  }

  /// Of a state: where its keys or values share a gradient, their sum becomes the first's.
  void add_up(const gradient_tile<C>& tile, index_t all_keys, index_t all_values) const {
    const auto of_plane = [&](C* first) {
      for (index_t k = 0; to.value == 0 && k < all_keys; ++k)
        for (index_t v = 1; v < all_values; ++v) first[k * tile.key] += first[k * tile.key + v];
      for (index_t k = 1; to.key == 0 && k < all_keys; ++k)
        for (index_t v = 0; v < all_values; ++v) first[v] += first[k * tile.key + v];
    };
    of_plane(tile.re);
    if (tile.im != nullptr) of_plane(tile.im);
  }

  /// Adds the slots' partial sums in order and writes the result.
  void reduce(const cpu& backend, const work_split& split) const {
    if (!to.given || exclusive) return;
    constexpr index_t tokens_a_job = tuning.tokens_a_reduction;
    const index_t pieces = ceil_divide(tokens, tokens_a_job);
    parallel_for(backend, batches * pieces, [&](index_t job, int) {
      const index_t b = job / pieces, first = job % pieces * tokens_a_job;
      const index_t last = first + tokens_a_job < tokens ? first + tokens_a_job : tokens;
      reduce_tokens(split, b, first, last, 0, to.re);
      if (to.im != nullptr) reduce_tokens(split, b, first, last, plane_size(), to.im);
    });
  }

 private:
  // f(j, number) for n elements of a tile, `step` apart
  template <class F>
  void for_each_element(const C* from, index_t step, index_t n, F&& f) const {
    constexpr index_t width = simd::lanes<C>;
    index_t j = 0;
    for (; adds_lanes && j + width <= n; j += width) {
      simd::pack<C> lanes[static_cast<std::size_t>(width)];
      alignas(simd::register_bytes) C sums[static_cast<std::size_t>(width)];
#pragma GCC unroll 16
      for (index_t i = 0; i < width; ++i) lanes[i] = simd::load(from + (j + i) * step);
      simd::sum_each(lanes, sums);
      for (index_t i = 0; i < width; ++i) f(j + i, sums[i]);
    }
    for (; j < n; ++j) f(j, adds_lanes ? simd::sum(simd::load(from + j * step)) : from[j * step]);
  }
  void move_row(const C* from, index_t step, index_t n, S* to_row, index_t to_step) const {
    if (adds_lanes || step != 1)
      return for_each_element(from, step, n,
                              [=](index_t j, C x) { to_row[j * to_step] = convert<S>(x); });
    constexpr index_t width = simd::lanes<C>;
    for (index_t j = 0; j < n; j += width)
      simd::store(to_row + j * to_step, to_step, static_cast<int>((std::min)(width, n - j)),
                  simd::load(from + j));
  }
  static void interleave_row(const C* re, const C* im, index_t n, S* to) {
    constexpr index_t width = simd::lanes<C>;
    index_t j = 0;
    for (; j + width <= n; j += width)
      simd::interleave(to + 2 * j, cplx<simd::pack<C>>{simd::load(re + j), simd::load(im + j)},
                       [](S* p, simd::pack<C> part) { simd::store(p, 1, width, part); });
    for (; j < n; ++j) to[2 * j] = convert<S>(re[j]), to[2 * j + 1] = convert<S>(im[j]);
  }
  void add_row(const C* from, index_t step, index_t n, C* sum) const {
    constexpr index_t width = simd::lanes<C>;
    index_t done = 0;
    for (; step == 1 && !adds_lanes && done + width <= n; done += width)
      simd::store(sum + done, simd::load(sum + done) + simd::load(from + done));
    for_each_element(from + done * step, step, n - done,
                     [to = sum + done](index_t j, C x) { to[j] += x; });
  }
  // Tokens of one plane, whose partial sums begin at `plane`. As many numbers at once as leave each
  // slot's to be read in long pieces.
  void reduce_tokens(const work_split& split, index_t b, index_t first, index_t last, index_t plane,
                     S* result) const {
    constexpr index_t most = 1024;
    const index_t row = heads * keys * values, end = last * row;
    C sums[static_cast<std::size_t>(most)];
    for (index_t done = first * row; done < end; done += most) {
      const index_t n = (std::min)(most, end - done);
      std::fill_n(sums, n, C(0));
      for (index_t s = 0; s < split.slot_count; ++s) {
        if (to.batch != 0 &&
            (b < split.first_batch(s, is_state) || b > split.last_batch(s, is_state)))
          continue;
        const index_t batch = to.batch != 0 ? b - split.first_batch(s, is_state) : 0;
        const C* const from = partial + s * slot_size() + plane + batch * tokens * row + done;
        for (index_t j = 0; j < n; ++j) sums[j] += from[j];
      }
      write_numbers(sums, done, n, result + b * to.batch);
    }
  }
  // n of a batch's numbers, the first of which is number `at`, a row of neighbours at a time.
  void write_numbers(const C* from, index_t at, index_t n, S* batch) const {
    const index_t neighbours = values > 1 ? values : keys, step = values > 1 ? to.value : to.key;
    for (index_t done = 0; done < n;) {
      const index_t i = (at + done) % neighbours, rows = (at + done) / neighbours;
      const index_t k = values > 1 ? rows % keys : 0,
                    tokens_and_heads = rows / (values > 1 ? keys : 1);
      const index_t here = (std::min)(neighbours - i, n - done);
      copy_numbers(batch + tokens_and_heads / heads * to.time + tokens_and_heads % heads * to.head +
                       k * to.key + i * step,
                   step, from + done, 1, here);
      done += here;
    }
  }
};

/// The targets of all gradients of R in format T.
template <class R, class T>
using gradient_targets_of =
    typename R::template fields<operand_or_gate<gradient_target<state_t<T>, storage_t<T>>,
                                                gradient_target<state_t<T>, gate_t<T>>>>;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
