#pragma once
// Diagonal recurrences whose channels share a token's keys and whose gate a state entry is
// e^(step factor), the step a channel's and the factor the same for all tokens (exponential_gate).
// A block has neighbouring channels of a head, a thread a few keys of one of them. What a run of
// tokens needs goes through shared memory once: q and k of every token, and of every channel the
// value and the step.

#include "../program_base.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace diagonal {
namespace shared_keys {

/// Whether an operand is a channel's, a token's keys or a parameter of channels: what the programs
/// here know how to add gradients of.
GATESCAN_HD constexpr bool sums_are_known(const axes& a) {
  const bool keys = a.has(axis::key) || a.has(axis::key_or_one),
             values = a.has(axis::value) || a.has(axis::channel);
  return a.has(axis::time) ? keys != values : values;
}
template <class R>
constexpr bool all_sums_are_known() {
  bool known = true;
  R::operands([&](const char*, const axes& a, presence) { known = known && sums_are_known(a); });
  return known;
}
template <class R>
concept recurrence_of_runs = exponential_gate<R> && R::form.number ==
                             numbers::real&& all_sums_are_known<R>();

/// q and k of a thread's keys at a token.
template <class C, int Keys>
struct alignas(16) keys_of_thread {
  C q[static_cast<std::size_t>(Keys)], k[static_cast<std::size_t>(Keys)];
};
/// A number of each of a thread's keys.
template <class C, int Keys>
struct alignas(16) key_numbers {
  C of[static_cast<std::size_t>(Keys)];
};
/// A channel's value and step at a token.
template <class C>
struct alignas(2 * sizeof(C)) value_and_step {
  C v, step;
};

/// An operand's number at a token of a channel, and the cursor that reads it.
template <class C>
struct loaded_number {
  C number = 0;
  bool given = false;
};
template <class C>
struct loaded_cursor {
  GATESCAN_HD C operator()(const loaded_number<C>& x) const { return x.number; }
  GATESCAN_HD C element(const loaded_number<C>& x) const { return x.number; }
  GATESCAN_HD void add(const accumulator<C>& d, C g) const { d.re += g; }
};

template <class R, class T, int Keys>
struct run_program : program_base<R, T, false, Keys> {
  using base = program_base<R, T, false, Keys>;
  using channel = typename base::channel;
  using C = typename base::C;
  using W = typename base::W;
  using values_type = typename channel::values_type;
  using thread_keys = keys_of_thread<C, Keys>;
  using pair = value_and_step<C>;
  using numbers_of_keys = registers<C, Keys>;
  using loaded = typename R::template fields<loaded_number<C>>;
  static constexpr int chunk_tokens = channel::chunk_tokens;
  static constexpr bool in_floats = sizeof(C) == 4;
  // a multiple of the chunk
  static constexpr int run_tokens = in_floats ? tuned.run_tokens : tuned.run_tokens / 2;

  loaded nothing_loaded{};  // switches, and which operands are given

  run_program() = default;
  explicit run_program(const base& shared) : base(shared) {
    R::operands([](const char*, const axes&, presence, const auto& from,
                   auto& to) { to.given = from.given; },
                this->p.x, nothing_loaded);
    R::options([](const char*, const auto& from, auto& to) { to = from; }, this->p.x,
               nothing_loaded);
  }

  int lanes() const { return this->map.lanes; }
  int staged_bytes(int tokens) const {
    return shared_size<thread_keys>(tokens * lanes()) +
           shared_size<pair>(tokens * this->map.width());
  }

  /// f(segment, thread, keys): a block has a segment of some channels.
  template <class Block, class F>
  GATESCAN_HD void of_columns(Block& block, F&& f) const {
    const index_t a_slot = this->map.blocks_a_slot();
    const segment s = this->split.at(block.index() / a_slot);
    const channel_thread thread = this->map.column(block.index() % a_slot, block.thread());
    channel_map alone = this->map;
    alone.lanes = 1;
    f(s, thread, channel(this->p.x, thread, s.batch, alone));
  }

  // ---- shared memory: [token][part] keys, [token][channel] values and steps

  template <class Block>
  GATESCAN_HD auto key_array(Block& block, int tokens) const {
    return block.template shared<thread_keys>(tokens * this->map.lanes);
  }
  template <class Block>
  GATESCAN_HD auto pair_array(Block& block, int tokens) const {
    return block.template shared<pair>(tokens * this->map.width());
  }
  GATESCAN_HD int column_of(int thread) const { return thread & (this->map.width() - 1); }

  /// Keys of tokens t, t + 1, ...; where there are no more, q = k = 0.
  template <class Block, class Array>
  GATESCAN_HD void stage_keys(Block& block, const channel& keys, const channel_thread& thread,
                              index_t t, int count, const Array& to) const {
    const int parts = this->map.lanes;
    for (int item = block.thread(); item < count * parts; item += block.threads()) {
      const int i = item >> this->map.lane_bits, part = item & (parts - 1);
      const index_t first = thread.tile * this->map.columns() + part * Keys;
      thread_keys x;
      unrolled<Keys>([&](int n) {
        const bool there = first + n < this->map.keys;
        const auto key = R::keys(keys.x, at_key(t + i, there ? first + n : 0));
        x.q[n] = there ? key.q : C(0);
        x.k[n] = there ? key.k : C(0);
      });
      to[item] = x;
    }
  }
  GATESCAN_HD static auto at_key(index_t t, index_t key) {
    return typename channel::cursor{0, t, 0, key, 0};
  }
  /// What a channel has at token t, without its keys.
  GATESCAN_HD loaded load(const channel& keys, index_t t) const {
    loaded x = nothing_loaded;
    R::operands(
        [&](const char*, const axes& a, presence need, const auto& from, auto& to) {
          if (a.has(axis::key) || a.has(axis::key_or_one)) return;
          if (need == presence::required || from.given)
            to.number = convert<C>(from.re[t * from.time]);
        },
        keys.x, x);
    return x;
  }
  /// f(i, read(i)) for those of `count` tokens that this thread does for its channel, of which it
  /// reads `Together` before it works on them.
  template <int Together, class Read, class F>
  GATESCAN_HD void for_own_tokens(const channel_thread& thread, int count, const Read& read,
                                  F&& f) const {
    const int by = this->map.lanes;
    for (int first = thread.part; first < count; first += Together * by) {
      registers<decltype(read(0)), Together> x;
      unrolled<Together>([&](int j) {
        const int i = first + j * by;
        x[j] = read(i < count ? i : count - 1);
      });
      unrolled<Together>([&](int j) {
        const int i = first + j * by;
        if (i < count) f(i, x[j]);
      });
    }
  }
  GATESCAN_HD static pair pair_of(const values_type& w) { return {w.v, R::gate_step(w).step}; }

  /// The factors of a thread's keys.
  GATESCAN_HD static void load_factors(const channel& keys, numbers_of_keys& factor) {
    unrolled<Keys>([&](int n) {
      factor[n] = keys.holds(n) ? R::gate_factor(keys.x, keys.cursor_at(0, n)) : C(0);
    });
  }
  GATESCAN_HD static C gate(const pair& w, C factor) {
    return exp_of_product(w.step, w.step * C(log2_e), factor);
  }
};

}  // namespace shared_keys
}  // namespace diagonal
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
