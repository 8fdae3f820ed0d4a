#pragma once
// Averages of channels with weights in log space (average.hpp): a thread a channel, token by token
// in every mode, the state of four numbers in registers. Backward keeps states at the starts of
// chunks and finds the others again:
//
//   g = (d_num, d_den)     o_t by s_{t-1} and its own token, s_t by s_{t-1}
//   g := e^((m - m') + gate) g + what o_t gives to s_{t-1}

#include "../operands/channel_program.hpp"
#include "../operands/scratch_array.hpp"
#include "average.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace averages {

// What the programs share.
template <class R, class T>
struct program_base : channel_program<R, T> {
  using base = channel_program<R, T>;
  using C = state_t<T>;
  using operands = operands_of<R, T>;
  using state = average<C>;
  static constexpr int numbers = 4;  // of a state
  static constexpr int chunk_tokens = tokens_of_history(sizeof(state));
  using states = scratch_array<C>;

  bool rounds_m = false;

  // every sequence is one segment
  index_t blocks() const { return this->blocks_for(this->split.slot_count()); }

  /// f(t, log weights, values) of all tokens in order; some are read before the first one's f.
  template <class F>
  GATESCAN_HD static void for_each_token(const operands& x, const token_range& tokens, F&& f) {
    using logs_type = decltype(R::log_weights(x, base::at(0)));
    using values_type = decltype(R::values(x, base::at(0)));
    constexpr int ahead = tuned.tokens_ahead;
    for (index_t first = tokens.first; first < tokens.last; first += ahead) {
      registers<logs_type, ahead> logs;
      registers<values_type, ahead> values;
      const token_range here{first, tokens.last};
      unrolled<ahead>([&](int n) {
        logs[n] = R::log_weights(x, base::at(here.clamped(n)));
        values[n] = R::values(x, base::at(here.clamped(n)));
      });
      unrolled<ahead>([&](int n) {
        if (first + n < tokens.last) f(first + n, logs[n], values[n]);
      });
    }
  }
  template <class Logs>
  GATESCAN_HD state advanced(const state& s, const Logs& logs, C v) const {
    return s.next(s.weigh(logs.gate, logs.key, rounds_m), v);
  }

  template <class Operand>
  GATESCAN_HD static index_t offset(const Operand& x, index_t sequence,
                                    const channel_thread& thread) {
    return x.offset(sequence, 0, thread.head) + thread.value * x.value;
  }
  template <class Operand>
  GATESCAN_HD static C load_part(const Operand& from, index_t sequence,
                                 const channel_thread& thread, C otherwise) {
    return from.given ? from.re[offset(from, sequence, thread)] : otherwise;
  }
  GATESCAN_HD state load(const state_operands<const C>& from, index_t sequence,
                         const channel_thread& thread) const {
    const state s{load_part(from, sequence, thread, C(0)),
                  load_part(from.normaliser, sequence, thread, C(0)),
                  load_part(from.log_scale, sequence, thread, C(state::never)), C(0)};
    return s.m < state::never ? state::nothing() : s;
  }
  GATESCAN_HD static void store(const operand<C>& to, index_t sequence,
                                const channel_thread& thread, C x) {
    if (to.given && thread.active) to.re[offset(to, sequence, thread)] = x;
  }
  GATESCAN_HD static state load(const states& from, index_t row, const channel_thread& thread) {
    const auto number = [&](int i) { return from.load(row, i, thread.channel); };
    return {number(0), number(1), number(2), number(3)};
  }
  GATESCAN_HD static void store(const states& to, index_t row, const channel_thread& thread,
                                const state& s) {
    if (!thread.active) return;
    to.store(row, 0, thread.channel, s.num), to.store(row, 1, thread.channel, s.den);
    to.store(row, 2, thread.channel, s.m), to.store(row, 3, thread.channel, s.low);
  }
};

// Outputs and final states.
template <class R, class T>
struct sequence_scan : program_base<R, T> {
  using base = program_base<R, T>;
  using C = typename base::C;
  using state = typename base::state;
  operand<storage_t<T>> out;
  state_operands<C> final_state;

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto here = this->place_of(block);
    const segment& s = here.s;
    const channel_thread& thread = here.thread;
    const operands_of<R, T>& x = here.x;
    const auto to = this->of_channel(out, here);
    state h = this->load(this->p.initial_state, s.sequence, thread);
    this->for_each_token(x, s.tokens, [&](index_t t, const auto& logs, const auto& w) {
      if (out.given && thread.active)
        to.re[t * to.time] = convert<storage_t<T>>(
            C(R::output(x, this->at(t), w, h.read_value(h.read(logs.key, logs.bonus), w.v))));
      h = this->advanced(h, logs, w.v);
    });
    if (!s.opens) return;  // a slot after the last sequence
    this->store(final_state, s.sequence, thread, h.num * h.rounds_by());
    this->store(final_state.normaliser, s.sequence, thread, h.den * h.rounds_by());
    this->store(final_state.log_scale, s.sequence, thread,
                h.m == state::never ? C(state::reset) : h.m);
  }
};

// Gradients of whole sequences.
template <class R, class T>
struct sequence_adjoint : program_base<R, T> {
  using base = program_base<R, T>;
  using C = typename base::C;
  using S = storage_t<T>;
  using state = typename base::state;
  static constexpr int chunk_tokens = base::chunk_tokens;
  using collector = gpu::collector<R, T, false, 1, chunk_tokens, true>;
  operand<const S> d_out;
  state_operands<const C> d_final_state;
  typename base::states kept;
  collector collect;
  gradient_sink<C, C> d_num, d_den;

  int shared_bytes() const {
    return collect.shared_bytes() + shared_size<state>(chunk_tokens * this->map.block_threads);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto here = this->place_of(block);
    const segment& s = here.s;
    const channel_thread& thread = here.thread;
    const operands_of<R, T>& x = here.x;
    const auto partials = collect.storage(block);
    const auto of_chunk = block.template shared<state>(chunk_tokens * block.threads());
    const shared_tokens<state, std::remove_const_t<decltype(of_chunk)>> history{
        of_chunk, block.thread(), block.threads()};
    const operand<const S> own_d_out = this->of_channel(d_out, here);

    state h = this->load(this->p.initial_state, s.sequence, thread);
    this->for_each_token(x, s.tokens, [&](index_t t, const auto& logs, const auto& w) {
      if ((t - s.tokens.first) % chunk_tokens == 0)
        this->store(kept, this->split.chunk_row(s, t, chunk_tokens), thread, h);
      h = this->advanced(h, logs, w.v);
    });
    const C of_end = h.rounds_by();
    gradient g{of_end * this->load_part(d_final_state, s.sequence, thread, C(0)),
               of_end * this->load_part(d_final_state.normaliser, s.sequence, thread, C(0))};
    const auto restore = [&](index_t t, int count) {
      h = this->load(kept, this->split.chunk_row(s, t, chunk_tokens), thread);
      this->for_each_token(x, {t, t + count}, [&](index_t token, const auto& logs, const auto& w) {
        history.put(static_cast<int>(token - t), h);
        h = this->advanced(h, logs, w.v);
      });
    };
    const auto adjoint = [&](const auto& d, index_t t, int j) {
      const C to_out = d_out.given ? convert<C>(own_d_out.re[(t + j) * own_d_out.time]) : C(0);
      differentiate(x, d, t + j, history.at(j), to_out, g);
    };
    base::template against_time<chunk_tokens>(collect, block, partials, here, restore, adjoint);
    if (!s.opens || !thread.active) return;
    leave(d_num, s, thread, g.num);
    leave(d_den, s, thread, g.den);
  }

 private:
  struct gradient {
    C num, den;
  };
  // From g of the state after a token to that of the one before it.
  template <class D>
  GATESCAN_HD void differentiate(const typename base::operands& x, const D& d, index_t t,
                                 const state& s, C d_out_t, gradient& g) const {
    const auto at = this->at(t);
    const auto logs = R::log_weights(x, at);
    const auto w = R::values(x, at);
    std::remove_const_t<decltype(w)> d_w{};
    const auto by = s.weigh(logs.gate, logs.key, this->rounds_m);
    const C d_key = unless_zero(by.key, by.key * fma(g.num, w.v, g.den));
    const C kept_weight = by.state + by.lost;
    const C d_gate = unless_zero(kept_weight, kept_weight * fma(g.num, s.num, g.den * s.den));
    const auto r = s.read(logs.key, logs.bonus);
    const C o = s.read_value(r, w.v);
    const C d_sum = unless_zero(r.all, R::output_adjoint(x, d, at, w, d_w, o, d_out_t) / r.all);
    d_w.v = d_w.v + fma(r.own, d_sum, by.key * g.num);
    g = {by.carry(g.num, r.state * d_sum), by.carry(g.den, -(r.state * d_sum) * o)};
    const C d_bonus = unless_zero(r.own, r.own * d_sum * (w.v - o));
    R::log_weights_adjoint(x, d, at, log_weights_and_bonus_of<C>{d_gate, d_key + d_bonus, d_bonus});
    R::values_adjoint(x, d, at, w, d_w);
  }
  GATESCAN_HD static void leave(const gradient_sink<C, C>& to, const segment& s,
                                const channel_thread& thread, C g) {
    accumulator<C> sum;
    sum.re = g;
    to.store(gpu::cursor<C, false>{s.batch, 0, thread.head, 0, thread.value}, s.sequence, 0, sum);
  }
};

}  // namespace averages
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
