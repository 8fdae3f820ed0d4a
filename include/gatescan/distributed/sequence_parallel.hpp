#pragma once
// One sequence over the ranks of an MPI communicator. Every rank has a piece of the tokens, reduces
// it to what it does to a state, and runs from its exact state:
//
//   S after a piece = summary of the piece (S before it)
//
// The state goes from rank to rank, in messages of some heads; gradients of states go back the same
// way. No token leaves its rank. What a call needs of MPI is included here alone: README.md.

#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "../api/attention_map.hpp"
#include "../api/verbs.hpp"
#include "../backends/cpu/execute.hpp"
#include "agreement.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// The place of a call: ranks of `comm`, in the order of time, each on its own cpu.
///
/// comm:      every rank of it makes the same call, with the tokens that follow those of the rank
///            before it: any number of them, also none. Messages have tag 29547.
/// backend:   of this rank.
/// continues: with sequence_offsets, which are those of this rank's own tokens and begin at 0:
///            whether its first sequence is the rest of the last one of the nearest rank before
///            that has tokens. Without offsets all sequences of the batch go through all ranks.
/// final_state_everywhere: without sequence_offsets, every rank gets final_state, not the last one
///            that has tokens alone: all of them give it room, and one broadcast fills it.
struct sequence_parallel {
  MPI_Comm comm;
  cpu backend{};
  bool continues = false;
  bool final_state_everywhere = false;
};

namespace detail {

template <class Mode>
consteval bool is_over_ranks() {
  constexpr bool fits = std::is_same_v<Mode, scan> || std::is_same_v<Mode, automatic>;
  static_assert(
      fits,
      "gatescan: sequence_parallel cuts time into pieces: it runs scan{} (or automatic{}, "
      "which is scan{} there)");
  return fits;
}
/// Ranks cut time: a rank's own tokens are one segment of it unless more are asked for.
template <class Mode>
scan scan_of(const Mode& mode) {
  if constexpr (std::is_same_v<Mode, scan>)
    if (mode.segments != 0) return mode;
  return {.segments = 1};
}

/// f(number) for every number of all parts of states.
template <class R, class T, class F>
void for_each_number(const problem_of<R, T>& p, const state_operands<state_t<T>>& state, F&& f) {
  const auto part = [&](const operand<state_t<T>>& x, index_t keys, index_t values) {
    const index_t one = keys * values;
    for (auto* const plane : {x.re, x.im})
      for (index_t i = 0; x.given && plane != nullptr && i < p.n.sequences * p.n.heads * one; ++i)
        f(plane[x.offset(i / (p.n.heads * one), 0, i / one % p.n.heads) +
                i / values % keys * x.key + i % values * x.value]);
  };
  part(state, p.n.keys, p.n.values);
  const auto values_of = [&](const auto& x) { return x.value != 0 ? p.n.values : 1; };
  part(state.normaliser, p.n.keys, values_of(state.normaliser));
  part(state.log_scale, 1, values_of(state.log_scale));
}

/// A call on this rank: what it was given, and what there has to be before all ranks begin.
template <class In>
struct call_of_rank {
  using R = typename In::recurrence;
  using T = typename In::format;

  const sequence_parallel& where;
  ranks all;
  path way{};
  cpu backend{};
  problem_of<R, T> p{};
  std::optional<agreement<R, T>> mine{};
  std::optional<scratch_memory<cpu>> scratch{};

  explicit call_of_rank(const sequence_parallel& place) : where(place), all(place.comm) {
    way.connect(all);
  }
  call_of_rank(const call_of_rank&) = delete;

  void bind(const In& in, direction what) {
    p = bind_inputs<R>(in);
    if (p.n.time > 0) p.beside = &way.beside;  // else states pass it by
    backend = for_one_call(where.backend, p);
    mine.emplace(p, in, where.continues, what);
  }
  void wants_state_everywhere(const state_operands<state_t<T>>& to) {
    if (where.final_state_everywhere && p.offsets != nullptr)
      fail<std::invalid_argument>(
          "final_state_everywhere: packed sequences end on ranks of their own");
    index_t numbers = 0;
    for_each_number(p, to, [&](const auto&) { ++numbers; });
    mine->wants_state_everywhere(where.final_state_everywhere, numbers);
  }
  void take(const workspace& given, std::size_t bytes) { scratch.emplace(backend, given, bytes); }
  workspace memory() const { return {scratch->memory()}; }

  /// prepare() on every rank; afterwards all go on, or none.
  template <class F>
  void agree(F&& prepare) {
    const failure caught = failure::of(prepare);
    agreement<R, T>::reach(all, caught, mine ? &*mine : nullptr, way);
  }
  /// Whether sequences of this piece have states of their own: not where others have all tokens.
  bool takes_part() const {
    return p.n.time > 0 || p.offsets != nullptr || (way.nobody_has_tokens && all.own() == 0);
  }
};

/// Gradients that every token adds to become the sums over all ranks, in the order of ranks.
template <class R, class T, class Gradients>
void sum_shared_gradients(const ranks& all, const problem_of<R, T>& p, const Gradients& views,
                          const backward_results<R, T>& r) {
  using C = state_t<T>;
  std::vector<C> sums;
  const auto for_each_shared = [&](auto&& f) {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& view, const auto& to) {
          if (!agreement<R, T>::is_shared(view, a)) return;
          const auto count = [](index_t stride, index_t n) { return stride != 0 ? n : 1; };
          const index_t batches = count(to.batch, p.n.batch), keys = count(to.key, p.n.keys),
                        heads = count(to.head, p.n.heads / to.heads_a_group),
                        values = count(to.value, p.n.values);
          for (auto* const plane : {to.re, to.im})
            for (index_t i = 0; plane != nullptr && i < batches * heads * keys * values; ++i)
              f(plane[i / (heads * keys * values) * to.batch +
                      i / (keys * values) % heads * to.head + i / values % keys * to.key +
                      i % values * to.value]);
        },
        views, r.d);
  };
  for_each_shared([&](const auto& x) { sums.push_back(convert<C>(x)); });
  if (all.count() == 1 || sums.empty()) return;
  all.sum(sums);
  auto next = sums.begin();
  for_each_shared([&](auto& x) { x = convert<std::remove_cvref_t<decltype(x)>>(*next++); });
}

/// What rank `from` holds of a state becomes that of all.
template <class R, class T>
void spread_state(const ranks& all, int from, const problem_of<R, T>& p,
                  const state_operands<state_t<T>>& state) {
  std::vector<state_t<T>> numbers;
  for_each_number(p, state, [&](const auto& x) { numbers.push_back(x); });
  all.broadcast(from, numbers.data(), numbers.size() * sizeof(state_t<T>));
  auto next = numbers.begin();
  for_each_number(p, state, [&](auto& x) { x = *next++; });
}

}  // namespace detail

/// Forward of one problem over all ranks: the operands and results of a rank are those of its
/// tokens. `initial_state` is read where a sequence begins (without packed ones, on the first rank
/// that has tokens), `final_state` is written where it ends; elsewhere neither is touched.
///
/// Requires: ranks that agree on everything but the number of tokens, and run the same kernels.
/// Cost:     reading the piece twice, one gather of some numbers, and a state received and sent a
///           head: O(n) of them one after another over n ranks. Memory as scan{}, and states.
/// Numerics: n ranks of s segments give the bits of scan{n s} on one machine where that cuts time
///           at the same tokens.
/// Errors:   what one rank finds wrong all throw, in its words and with its number, and so do they
///           where ranks disagree, before anything is written. A rank that dies ends all, by MPI.
template <class Mode, class In>
void forward(const sequence_parallel& where, const Mode& mode, const In& in,
             const detail::outputs_of<In>& out, const workspace& scratch = {}) {
  if constexpr (detail::is_over_ranks<Mode>() && detail::is_a_call<cpu, scan, In>()) {
    const scan how = detail::scan_of(mode);
    detail::call_of_rank<In> call(where);
    auto& p = call.p;
    detail::forward_results<typename In::format> to;
    call.agree([&] {
      call.bind(in, direction::forward);
      to = detail::bind_outputs(p, in, out);
      call.wants_state_everywhere(to.final_state);
      call.take(scratch, detail::forward_bytes_of(call.backend, how, p));
    });
    if (call.takes_part()) detail::run_forward_of(call.backend, how, p, to, call.memory());
    if (where.final_state_everywhere)
      detail::spread_state(call.all, call.way.last, p, to.final_state);
  }
}

/// Gradients of a loss by the operands of this rank's tokens. The gradient of `final_state` is read
/// where a sequence ends, that of `initial_state` written where it begins. A gradient that all
/// tokens add to (a parameter's, or one of stride 0 in time) becomes, on every rank, the sum over
/// all of them: each rank's rounded once, added in the order of ranks.
///
/// Cost: as forward, three readings of the piece; a gradient of a state a head more, the other way.
///       rwkv4 and a recurrence of an own `combine` have no summary of gradients: there one rank
///       goes back after the other. Everything else as forward.
template <class Mode, class In>
void backward(const sequence_parallel& where, const Mode& mode, const In& in,
              const detail::output_gradients_of<In>& d_out, const detail::gradients_of<In>& d,
              const workspace& scratch = {}) {
  if constexpr (detail::is_over_ranks<Mode>() && detail::is_a_backward_call<cpu, scan, In>()) {
    using R = typename In::recurrence;
    const scan how = detail::scan_of(mode);
    detail::call_of_rank<In> call(where);
    auto& p = call.p;
    detail::backward_results<R, typename In::format> r;
    call.agree([&] {
      call.bind(in, direction::backward);
      r = detail::bind_gradients(p, in, d_out, d);
      call.mine->add(d);
      call.take(scratch, detail::backward_bytes_of(call.backend, how, p, r));
    });
    if (!call.takes_part() || (!p.begins(0) && p.offsets == nullptr)) r.initial_state = {};
    detail::run_backward_of(call.backend, how, p, r, call.memory());
    detail::sum_shared_gradients(call.all, p, d, r);
  }
}

/// Bytes of scratch that forward takes on this rank. No message is sent.
template <class Mode, class In>
std::size_t workspace_bytes(const sequence_parallel& where, const Mode& mode, const In& in) {
  if constexpr (detail::is_over_ranks<Mode>() && detail::is_a_call<cpu, scan, In>()) {
    detail::call_of_rank<In> call(where);
    call.bind(in, direction::forward);
    return detail::forward_bytes_of(call.backend, detail::scan_of(mode), call.p);
  }
}
/// The same of backward into these gradients.
template <class Mode, class In>
std::size_t workspace_bytes(const sequence_parallel& where, const Mode& mode, const In& in,
                            const detail::gradients_of<In>& d) {
  if constexpr (detail::is_over_ranks<Mode>() && detail::is_a_backward_call<cpu, scan, In>()) {
    detail::call_of_rank<In> call(where);
    call.bind(in, direction::backward);
    const auto r = detail::bind_gradients(call.p, in, {}, d);
    return detail::backward_bytes_of(call.backend, detail::scan_of(mode), call.p, r);
  }
}

/// A map shows pairs of tokens, and no rank has both of all pairs.
template <class In, class Map>
void attention_map(const sequence_parallel&, const In&, const Map&) {
  static_assert(!std::is_same_v<In, In>,
                "gatescan: attention_map needs all tokens in one place: call it with cpu{}");
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
