#pragma once
// One sequence over the ranks of an MPI communicator. Every rank has a piece of the tokens, reduces
// it to what it does to a state, and runs from its exact state:
//
//   S after a piece = summary of the piece (S before it)
//
// The state goes from rank to rank, in messages of some heads; gradients of states go back the same
// way. No token leaves its rank. sequence_parallel.hpp and sequence_parallel_cuda.cuh add how a
// backend runs a piece; what a call needs of MPI is included there alone: README.md.

#include <memory>
#include <optional>
#include <type_traits>
#include <vector>

#include "../api/attention_map.hpp"
#include "../api/verbs.hpp"
#include "../backends/cpu/backend.hpp"
#include "../core/strided_numbers.hpp"
#include "agreement.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// The place of a call: ranks of `comm`, in the order of time, each on its own cpu or device.
///
/// comm:      every rank of it makes the same call, with the tokens that follow those of the rank
///            before it: any number of them, also none. Messages have tag 29547.
/// backend:   of this rank, of one kind on all: cpu, or cuda where sequence_parallel_cuda.cuh is
///            included.
/// continues: with sequence_offsets, which are those of this rank's own tokens and begin at 0:
///            whether its first sequence is the rest of the last one of the nearest rank before
///            that has tokens. Without offsets all sequences of the batch go through all ranks.
/// final_state_everywhere: without sequence_offsets, every rank gets final_state, not the last one
///            that has tokens alone: all of them give it room, and one broadcast fills it.
template <class Backend = cpu>
struct sequence_parallel {
  MPI_Comm comm;
  Backend backend{};
  bool continues = false;
  bool final_state_everywhere = false;
};

namespace detail {

template <class Backend, class Mode>
consteval bool is_over_ranks() {
  constexpr bool fits =
      Backend::on_device || std::is_same_v<Mode, scan> || std::is_same_v<Mode, automatic>;
  static_assert(
      fits,
      "gatescan: sequence_parallel cuts time into pieces: it runs scan{} (or automatic{}, "
      "which is scan{} there)");
  return fits;
}
template <class Backend, class Mode, class In>
consteval bool is_a_call_of_ranks() {
  using asked = std::conditional_t<Backend::on_device, Mode, scan>;
  if constexpr (is_over_ranks<Backend, Mode>())
    return is_a_call<Backend, asked, In>();
  else
    return false;
}
template <class Backend, class Mode, class In>
consteval bool is_a_backward_call_of_ranks() {
  if constexpr (is_a_call_of_ranks<Backend, Mode, In>())
    return is_differentiable<typename In::recurrence>();
  else
    return false;
}
/// A device runs its piece in any mode. On the cpu ranks cut time: a rank's own tokens are one
/// segment of it unless more are asked for.
template <class Backend, class Mode>
auto mode_of_rank(const Mode& mode) {
  if constexpr (Backend::on_device) {
    return mode;
  } else {
    if constexpr (std::is_same_v<Mode, scan>)
      if (mode.segments != 0) return mode;
    return scan{.segments = 1};
  }
}

/// f(numbers of a plane) for all parts of states.
template <class R, class T, class F>
void for_each_state_plane(const problem_of<R, T>& p, const state_operands<state_t<T>>& state,
                          F&& f) {
  const auto part = [&](const operand<state_t<T>>& x, index_t keys, index_t values) {
    for_each_plane(x, p.n.sequences, p.n.heads, keys, values, f);
  };
  part(state, p.n.keys, p.n.values);
  const auto values_of = [&](const auto& x) { return x.value != 0 ? p.n.values : 1; };
  part(state.normaliser, p.n.keys, values_of(state.normaliser));
  part(state.log_scale, 1, values_of(state.log_scale));
}

/// A call on this rank: what it was given, and what there has to be before all ranks begin.
template <class Backend, class In>
struct call_of_rank {
  using R = typename In::recurrence;
  using T = typename In::format;

  const sequence_parallel<Backend>& where;
  ranks all;
  path way{};
  Backend backend{};
  problem_of<R, T> p{};
  std::optional<agreement<R, T>> mine{};
  std::optional<scratch_memory<Backend>> scratch{};

  explicit call_of_rank(const sequence_parallel<Backend>& place) : where(place), all(place.comm) {
    way.connect(all);
  }
  call_of_rank(const call_of_rank&) = delete;

  void bind(const In& in, direction what) {
    p = bind_inputs<R>(in);
    if (p.n.time > 0) p.beside = &way.beside;  // else states pass it by
    backend = for_one_call(where.backend, p);
    const kernels run_by = kernels_of(backend, p);
    way.beside.takes_device_memory = run_by.reached_by_mpi;
    mine.emplace(p, in, where.continues, what, run_by);
  }
  void wants_state_everywhere(const state_operands<state_t<T>>& to) {
    if (where.final_state_everywhere && p.offsets != nullptr)
      fail<std::invalid_argument>(
          "final_state_everywhere: packed sequences end on ranks of their own");
    index_t numbers = 0;
    for_each_state_plane(p, to, [&](const auto& x) { numbers += x.count(); });
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
template <class Backend, class R, class T, class Gradients>
void sum_shared_gradients(const Backend& backend, const ranks& all, const problem_of<R, T>& p,
                          const Gradients& views, const backward_results<R, T>& r) {
  const auto for_each_shared = [&](auto&& f) {
    R::operands(
        [&](const char*, const axes& a, presence, const auto& view, const auto& to) {
          if (!agreement<R, T>::is_shared(view, a)) return;
          const auto count = [](index_t stride, index_t n) { return stride != 0 ? n : 1; };
          for_each_plane(to, count(to.batch, p.n.batch),
                         count(to.head, p.n.heads / to.heads_a_group), count(to.key, p.n.keys),
                         count(to.value, p.n.values), f);
        },
        views, r.d);
  };
  bool any = false;
  for_each_shared([&](const auto& x) { any = any || x.count() > 0; });
  if (all.count() == 1 || !any) return;
  auto sums = read_numbers<state_t<T>>(backend, for_each_shared);
  all.sum(sums);
  write_numbers(backend, sums, for_each_shared);
}

/// What rank `from` holds of a state becomes that of all.
template <class Backend, class R, class T>
void spread_state(const Backend& backend, const ranks& all, int from, const problem_of<R, T>& p,
                  const state_operands<state_t<T>>& state) {
  const auto planes = [&](auto&& f) { for_each_state_plane(p, state, f); };
  auto numbers = read_numbers<state_t<T>>(backend, planes);
  all.broadcast(from, numbers.data(), numbers.size() * sizeof(state_t<T>));
  write_numbers(backend, numbers, planes);
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
template <class Backend, class Mode, class In>
void forward(const sequence_parallel<Backend>& where, const Mode& mode, const In& in,
             const detail::outputs_of<In>& out, const workspace& scratch = {}) {
  if constexpr (detail::is_a_call_of_ranks<Backend, Mode, In>()) {
    const auto how = detail::mode_of_rank<Backend>(mode);
    detail::call_of_rank<Backend, In> call(where);
    auto& p = call.p;
    detail::forward_results<typename In::format> to;
    call.agree([&] {
      call.bind(in, direction::forward);
      to = detail::bind_outputs(p, in, out);
      call.wants_state_everywhere(to.final_state);
      call.take(scratch, piece_forward_bytes_of(call.backend, how, p));
    });
    if (call.takes_part()) run_piece_forward_of(call.backend, how, p, to, call.memory());
    if (where.final_state_everywhere)
      detail::spread_state(call.backend, call.all, call.way.last, p, to.final_state);
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
template <class Backend, class Mode, class In>
void backward(const sequence_parallel<Backend>& where, const Mode& mode, const In& in,
              const detail::output_gradients_of<In>& d_out, const detail::gradients_of<In>& d,
              const workspace& scratch = {}) {
  if constexpr (detail::is_a_backward_call_of_ranks<Backend, Mode, In>()) {
    using R = typename In::recurrence;
    const auto how = detail::mode_of_rank<Backend>(mode);
    detail::call_of_rank<Backend, In> call(where);
    auto& p = call.p;
    detail::backward_results<R, typename In::format> r;
    call.agree([&] {
      call.bind(in, direction::backward);
      r = detail::bind_gradients(p, in, d_out, d);
      call.mine->add(d);
      call.take(scratch, piece_backward_bytes_of(call.backend, how, p, r));
    });
    if (!call.takes_part() || (!p.begins(0) && p.offsets == nullptr)) r.initial_state = {};
    run_piece_backward_of(call.backend, how, p, r, call.memory());
    detail::sum_shared_gradients(call.backend, call.all, p, d, r);
  }
}

/// Bytes of scratch that forward takes on this rank. No message is sent.
template <class Backend, class Mode, class In>
std::size_t workspace_bytes(const sequence_parallel<Backend>& where, const Mode& mode,
                            const In& in) {
  if constexpr (detail::is_a_call_of_ranks<Backend, Mode, In>()) {
    detail::call_of_rank<Backend, In> call(where);
    call.bind(in, direction::forward);
    return piece_forward_bytes_of(call.backend, detail::mode_of_rank<Backend>(mode), call.p);
  }
}
/// The same of backward into these gradients.
template <class Backend, class Mode, class In>
std::size_t workspace_bytes(const sequence_parallel<Backend>& where, const Mode& mode, const In& in,
                            const detail::gradients_of<In>& d) {
  if constexpr (detail::is_a_backward_call_of_ranks<Backend, Mode, In>()) {
    detail::call_of_rank<Backend, In> call(where);
    call.bind(in, direction::backward);
    const auto r = detail::bind_gradients(call.p, in, {}, d);
    return piece_backward_bytes_of(call.backend, detail::mode_of_rank<Backend>(mode), call.p, r);
  }
}

/// A map shows pairs of tokens, and no rank has both of all pairs.
template <class Backend, class In, class Map>
void attention_map(const sequence_parallel<Backend>&, const In&, const Map&) {
  static_assert(!std::is_same_v<In, In>,
                "gatescan: attention_map needs all tokens in one place: call it with cpu{}");
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
