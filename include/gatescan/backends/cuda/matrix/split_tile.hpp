#pragma once
// split_scan's arrays in shared memory, and how a block fills them: own numbers in float, the other
// ones, values and states as sums of two bfloat16 (values that are one as they stand of that one,
// fetched as they lie in memory). A warp loads a subchunk of 16 tokens, a thread
// two neighbouring keys of each, or a complex one, and multiplies them by the gates on the way.

#include "lane_keys.hpp"
#include "split_rows.hpp"
#include "value_reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// A tile's own tokens and values, and the tiles of its chunk that it sees, one after another from
/// it on: whole ones, but the last.
struct tile_shape {
  int count, values, others, last_count;
};

/// Where a state lies; a part that it has not is 0.
template <class C>
struct state_parts {
  const C *re, *im;
  bool has_re, has_im;
  index_t key, value;
};

/// What it asks of shared memory.
template <class R, class T>
struct split_tile_memory {
  using config = tile_config<R, T>;
  static constexpr int pairs = config::rows / 2;  // of a token: one a lane
  static_assert(pairs == warp_threads && config::values % (2 * warp_threads) == 0);
  static constexpr int own_pitch = pairs + 4;  // half a warp reads eight of each of four tokens
  static constexpr int subchunks = config::tokens / config::subchunk;
  static_assert(subchunks * warp_threads == config::threads);
  static constexpr int bytes =
      shared_size<float_pair>(config::tokens * own_pitch) +
      split_bytes<config::rows>(config::tokens) + split_bytes<config::values>(config::tokens) +
      2 * shared_size<float_pair>(subchunks * pairs) + shared_size<tile_shape>(1);
};

template <class R, class T, bool Adjoint, class Block>
class split_tile : split_tile_memory<R, T> {
  using memory = split_tile_memory<R, T>;

 public:
  using typename memory::config;
  using fields = typename config::fields;

  /// x: operands from the tile's first token on.
  GATESCAN_HD split_tile(Block& block, const fields& x, const tile_shape& shape)
      : block_(block),
        x_(x),
        own_(block.template shared<float_pair>(tokens * own_pitch)),
        other_(block, tokens, 0),
        at_wide_(block),
        wide_(block, tokens, 0),
        totals_(block.template shared<float_pair>(subchunks * pairs)),
        inverses_(block.template shared<float_pair>(subchunks * pairs)),
        shape_(block.template shared<tile_shape>(1)) {
    if (block.thread() == 0) shape_[0] = shape;
    for (int c = 0; c < columns; ++c) non_finite_[c] = Adjoint ? -1 : tokens;
  }

  /// f(value, token): the first own token (backward the last) that sees one of this thread's values
  /// that is not finite. Such values are left out: 0 times NaN would reach tokens that do not.
  template <class F>
  GATESCAN_HD void for_each_seen(const F& f) const {
    unrolled<columns>([&](int c) { f(column_of(c), non_finite_[c]); });
  }

 protected:
  using E = typename config::E;
  using memory::pairs, memory::own_pitch, memory::subchunks;
  static constexpr int tokens = config::tokens, subchunk = config::subchunk, rows = config::rows,
                       values = config::values;
  static constexpr int columns = values / warp_threads;  // a lane's
  using keys_of_lane = lane_keys<E>;
  static constexpr int keys_a_lane = keys_of_lane::count;
  static_assert(rows == tokens);  // values and states take turns
  static constexpr int value_parts = value_reader<R, T, Adjoint>::as_it_stands ? 1 : 2;
  using rows_of_values = split_rows<Block, values, value_parts>;

  // From shared memory, which leaves registers.
  GATESCAN_HD tile_shape shape() const { return shape_[0]; }
  // Places that follow from it are found anew for every tile, not kept in registers.
  GATESCAN_HD void find_thread() {
    const int thread = block_.thread_anew();
    warp_ = thread / warp_threads, lane_ = thread % warp_threads;
    other_.find_lane(lane_), wide_.find_lane(lane_);
  }

  // ---- loads

  // put(t, numbers) of k times the gates after it, or of q times those up to its own, and the
  // product of all gates. `together` tokens are read at a time. gates(t, gate) are those read
  // before, or are noted as they are read. Tokens and keys that are not there are the last ones
  // again: nobody sees such a key (forward), the output of such a query has no gradient (backward),
  // and own numbers of such keys become 0.
  template <bool Keys, bool ReadGates, class Gates, class Put>
  GATESCAN_HD keys_of_lane decay(index_t from, int count, int keys, const Gates& gates,
                                 const Put& put) const {
    // (of complex numbers the code is long enough once)
    if (!config::complex && (warp_ + 1) * subchunk <= count)
      return decay<Keys, ReadGates, !config::complex>(from, count, keys, gates, put);
    else
      return decay<Keys, ReadGates, false>(from, count, keys, gates, put);
  }
  template <bool Keys, bool ReadGates, bool Whole, class Gates, class Put>
  GATESCAN_HD keys_of_lane decay(index_t from, int count, int keys, const Gates& gates,
                                 const Put& put) const {
    constexpr int together = tuned.tokens_together;
    constexpr int step = Keys ? -1 : 1;  // through the tokens
    const int first = warp_ * subchunk + (Keys ? subchunk - 1 : 0), key = lane_ * keys_a_lane,
              second = key < keys - 1 ? 1 : 0;
    fields x = x_;
    move_operands<R, T>(x, from + smaller(first, count - 1), smaller(key, keys - 1));
    keys_of_lane product = keys_of_lane::all(number_cast<E>(1.0f));
    for (int part = 0; part < subchunk; part += together) {
      registers<keys_of_lane, together> number, gate;
      unrolled<together>([&](int i) {
        const int t = first + step * (part + i);
        if (!ReadGates) gates(t, gate[i]);
        unrolled<keys_a_lane>([&](int k) {
          const auto token = R::keys(x, typename config::cursor{0, 0, 0, k * second, 0});
          number[i].of[k] = Keys ? token.k : token.q;
          if (!ReadGates) return;
          gate[i].of[k] = token.gate;
          if (Adjoint && !Whole && t >= count) gate[i].of[k] = number_cast<E>(1.0f);
        });
        if (Whole || (Keys ? t < count : t + 1 < count)) move_operands<R, T>(x, step, 0);
      });
      unrolled<together>([&](int i) {
        const int t = first + step * (part + i);
        if (ReadGates) gates(t, gate[i]);
        keys_of_lane result;
        unrolled<keys_a_lane>([&](int k) {
          if (!Keys) product.of[k] = gate[i].of[k] * product.of[k];
          result.of[k] = product.of[k] * number[i].of[k];
          if (Keys) product.of[k] = gate[i].of[k] * product.of[k];
        });
        put(t, result);
      });
    }
    return product;
  }

  /// other^ and the products of subchunks, which it returns too. Of the own tile gates are noted
  /// where own numbers will be, and `divides` is whether all are small enough.
  GATESCAN_HD keys_of_lane load_other(index_t from, int count, int keys, bool own, bool& divides) {
    const keys_of_lane total = decay<!Adjoint, true>(
        from, count, keys,
        [&](int t, const keys_of_lane& gate) {
          if (!own) return;
          unrolled<keys_a_lane>(
              [&](int k) { divides = divides && extent(gate.of[k]) <= most_extent; });
          own_[t * own_pitch + lane_] = gate.pair();
        },
        [&](int t, const keys_of_lane& number) {
          const float_pair x = number.pair();
          other_.put(t, lane_, split(block_, x.first, config::complex ? -x.second : x.second));
        });
    totals_[warp_ * pairs + lane_] = total.pair();
    return total;
  }
  /// own^. Returns whether the gates of the warp's subchunk let its pairs be scored by a quotient.
  GATESCAN_HD bool load_own(int keys, keys_of_lane total, bool divides) {
    unrolled<keys_a_lane>([&](int k) {
      divides = divides && extent(total.of[k]) >= least_extent;
      total.of[k] = inverse(total.of[k]);
    });
    inverses_[warp_ * pairs + lane_] = total.pair();
    const int key = lane_ * keys_a_lane;
    decay<Adjoint, false>(
        0, shape().count, keys,
        [&](int t, keys_of_lane& gate) {
          gate = keys_of_lane::of_pair(own_[t * own_pitch + lane_]);
        },
        [&](int t, keys_of_lane number) {
          unrolled<keys_a_lane>([&](int k) {
            if (key + k >= keys) number.of[k] = E{};
          });
          own_[t * own_pitch + lane_] = number.pair();
        });
    int left = divides ? 0 : 1;
    for (int m = 1; m < warp_threads; m *= 2) left |= block_.shuffle_xor(left, m);
    return left == 0;
  }

  GATESCAN_HD int column_of(int c) const { return c / 2 * 2 * warp_threads + lane_ * 2 + c % 2; }
  template <class Load>
  GATESCAN_HD void load_wide(int c, const Load& load) {
    put_rows(block_, wide_, warp_ * subchunk, column_of(c) / 2, load);
  }
  /// In the place of wide_.
  GATESCAN_HD rows_of_values value_rows() const {
    Block place = at_wide_;
    return rows_of_values(place, tokens, lane_);
  }
  /// The own tokens' values, by the whole block, which waits before and after.
  template <class ReadValues>
  GATESCAN_HD void bring_values(const ReadValues& read_values) {
    block_.sync();
    if constexpr (value_parts == 1) {
      const auto v = read_values();
      if (shape().count == tokens && shape().values == values && v.lies_in_eights()) {
        const auto& from = v.operand_of_numbers();
        Block place = at_wide_;
        const auto to = place.template shared<bf16_eight>(tokens * split_pitch<values> / 4);
        fetch_rows<split_layout<values>>(block_, to, from.re, from.time, warp_ * subchunk, lane_);
        block_.close_fetches();
        block_.template wait_for_fetches<0>();
        if (!block_.any(!fetched_are_finite<values>(to, warp_ * subchunk, lane_))) return;
      }
    }
    load_values(read_values(), 0, shape().count);
    block_.sync();
  }
  // Of `count` tokens, so many from the own ones on.
  template <class Values>
  GATESCAN_HD void load_values(const Values& v, index_t from, int count) {
    const auto to = value_rows();
    const int last = shape().values - 1;
    for (int c = 0; c < columns; c += 2) {
      const int column = column_of(c), second = column < last ? 1 : 0;
      auto here = v.moved(from + smaller(warp_ * subchunk, count - 1), smaller(column, last));
      put_rows(block_, to, warp_ * subchunk, column / 2, [&](int t, int) -> float_pair {
        const float x = here(0), y = here(second);
        if (t + 1 < count) here.next_token();
        const bool gone = Adjoint && t >= count;  // else the last one again, which nobody sees
        const int seen = from == 0 ? t : Adjoint ? tokens : 0;
        const auto kept = [&](float number, int& before) -> float {
          const bool stays = is_finite(number) || gone;
          before = stays || Adjoint == (seen < before) ? before : seen;
          return stays && !gone ? number : 0;
        };
        return {kept(x, non_finite_[c]), kept(y, non_finite_[c + 1])};
      });
    }
  }
  GATESCAN_HD void load_states(const state_parts<float>& from, index_t first_key, int keys) {
    // neighbours lie together in 8 bytes of their own, as those of chunks do
    const bool in_pairs = from.value == 1 && (reinterpret_cast<std::uintptr_t>(from.re) |
                                              static_cast<std::uintptr_t>(from.key * 4)) %
                                                     8 ==
                                                 0;
    if (!config::complex && from.has_re && keys == config::keys && shape().values == values &&
        in_pairs)
      load_whole_states(from, first_key);
    else
      load_some_states(from, first_key, keys);
  }
  GATESCAN_HD void load_whole_states(const state_parts<float>& from, index_t first_key) {
    for (int c = 0; c < columns; c += 2) {
      const float* x = from.re + (first_key + warp_ * subchunk) * from.key + column_of(c);
      load_wide(c, [&](int, int) -> float_pair {
        float_pair both;
        __builtin_memcpy(&both, __builtin_assume_aligned(x, sizeof both), sizeof both);
        x += from.key;
        return both;
      });
    }
  }
  GATESCAN_HD void load_some_states(const state_parts<float>& from, index_t first_key, int keys) {
    const int key = smaller(warp_ * subchunk / config::planes, keys - 1);
    for (int c = 0; c < columns; c += 2) {
      const int column = column_of(c);
      const bool first = column < shape().values, second = column + 1 < shape().values;
      const index_t at = (first_key + key) * from.key + (first ? column : 0) * from.value,
                    next = second ? from.value : 0;
      const float *re = from.re + at, *im = from.im + at;
      load_wide(c, [&](int row, int i) -> float_pair {
        const bool imaginary = config::complex && i % 2 == 1;
        const int here = row / config::planes;
        const bool inside = here < keys && (imaginary ? from.has_im : from.has_re);
        const float* const numbers = imaginary ? im : re;
        float_pair x;
        if (inside && first) x.first = numbers[0];
        if (inside && second) x.second = numbers[next];
        if (imaginary && !Adjoint) x = {-x.first, -x.second};
        if (here + 1 < keys && (imaginary || !config::complex)) re += from.key, im += from.key;
        return x;
      });
    }
  }

  // ---- numbers

  GATESCAN_HD static int smaller(int a, int b) { return a < b ? a : b; }
  // a magnitude; a complex one's square
  GATESCAN_HD static float extent(E x) {
    if constexpr (config::complex)
      return x.re * x.re + x.im * x.im;
    else
      return x < 0 ? -x : x;
  }
  // so that no product of a subchunk's gates is larger than 3 or smaller than a third of all
  static constexpr float most_extent = 1.0625f;
  static constexpr float least_extent =
      config::complex ? tuned.least_divisor * tuned.least_divisor : tuned.least_divisor;
  GATESCAN_HD static E inverse(E x) {
    if constexpr (config::complex)
      return conj(x) * (1 / extent(x));
    else
      return 1 / x;
  }

  Block& block_;
  fields x_;  // from the next key on
  int warp_ = 0, lane_ = 0;
  decltype(std::declval<Block&>().template shared<float_pair>(1)) own_;  // [token][row]
  split_rows<Block, rows> other_;                                        // [token][row]
  Block at_wide_;
  split_rows<Block, values> wide_;    // of states [row][value], or of values [token][value]
  decltype(own_) totals_, inverses_;  // [subchunk][row]
  decltype(std::declval<Block&>().template shared<tile_shape>(1)) shape_;
  registers<int, columns> non_finite_;
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
