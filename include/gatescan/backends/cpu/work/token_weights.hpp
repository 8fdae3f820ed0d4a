#pragma once
// Before a call of a recurrence with weights in log space: m goes through the tokens of every head,
// and leaves the weights of each token in scratch memory (core/token_weights.hpp).

#include <span>
#include <utility>

#include "../../../core/problem.hpp"
#include "../../../core/workspace.hpp"
#include "../operands/token_cursor.hpp"
#include "../simd/math.hpp"
#include "../threads/parallel_for.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
std::size_t token_weights_bytes(const problem_of<R, T>& p) {
  if constexpr (!has_log_weights<R>) return 0;
  arena measure;
  measure.take<token_weight<state_t<T>>>(p.n.batch * p.n.time * p.n.heads);
  measure.take<state_t<T>>(p.n.sequences * p.n.heads);
  return measure.bytes_needed();
}

/// Those of all tokens of one head of a sequence, from m before them. Returns m after them. Found
/// `again`, they are what they were from the first token on after which m is what it was.
template <class R, class T>
state_t<T> find_token_weights(const problem_of<R, T>& p, index_t sequence, index_t head,
                              state_t<T> m, bool again = false) {
  using C = state_t<T>;
  const index_t batch = p.batch_of(sequence);
  auto x = p.x;
  for_each_field<R>([&](auto& own) { own.go_to_head(batch, head, 0); }, x);
  token_weight<C>* const to = p.weights.of_head(batch, head);
  const index_t end = p.last_token(sequence);
  for (index_t t = p.first_token(sequence); t < end; ++t) {
    const auto logs = R::log_weights(x, token_cursor<C, false>{t, p.n.keys});
    const C before = to[t].log_scale;
    to[t] = token_weight<C>::after(m, logs.gate.v[0], logs.key.v[0]);
    m = to[t].log_scale;
    if (again && m == before) return to[end - 1].log_scale;
  }
  return m;
}
/// m before the tokens of a sequence that are here; -inf where nothing is known of it.
template <class R, class T>
state_t<T> first_log_scale(const problem_of<R, T>& p, index_t sequence, index_t head) {
  const operand<const state_t<T>>& first = p.initial_state.log_scale;
  return first.given && p.begins(sequence) ? first.re[first.offset(sequence, 0, head)]
                                           : -std::numeric_limits<state_t<T>>::infinity();
}

/// Of a piece of time: m comes from the neighbour before it, and goes on to the one after it. m is
/// a maximum, which soon forgets what it was before: then little is found again.
template <class R, class T>
void pass_log_scales_on(const cpu& backend, const problem_of<R, T>& p, state_t<T>* last) {
  const neighbours& beside = *p.beside;
  const auto bytes = static_cast<std::size_t>(p.n.heads) * sizeof(state_t<T>);
  for (index_t sequence = p.n.sequences - 1; sequence >= 0; --sequence) {
    state_t<T>* const m = last + sequence * p.n.heads;
    if (!p.begins(sequence)) {
      beside.receive(beside.context, side::before, m, bytes);
      parallel_for(backend, p.n.heads, [&](index_t head, int) {
        m[head] = find_token_weights(p, sequence, head, m[head], true);
      });
    }
    if (!p.ends(sequence)) beside.send(beside.context, side::after, m, bytes);
  }
  beside.settle(beside.context);
}

/// f(problem, scratch) with the weights of all tokens; m after the last ones goes to log_scale.
template <class R, class T, class F>
void with_token_weights(const cpu& backend, const problem_of<R, T>& p,
                        const operand<state_t<T>>& log_scale, std::span<std::byte> scratch, F&& f) {
  if constexpr (has_log_weights<R>) {
    problem_of<R, T> weighted = p;
    arena memory(scratch);
    weighted.weights = {memory.take<token_weight<state_t<T>>>(p.n.batch * p.n.time * p.n.heads),
                        p.n.batch, p.n.time};
    state_t<T>* const last = memory.take<state_t<T>>(p.n.sequences * p.n.heads);
    parallel_for(backend, p.n.sequences * p.n.heads, [&](index_t job, int) {
      const index_t sequence = job / p.n.heads, head = job % p.n.heads;
      last[job] = find_token_weights(weighted, sequence, head, first_log_scale(p, sequence, head));
    });
    if (p.beside != nullptr) pass_log_scales_on(backend, weighted, last);
    for (index_t job = 0; log_scale.given && job < p.n.sequences * p.n.heads; ++job)
      if (const index_t sequence = job / p.n.heads; p.ends(sequence))
        log_scale.re[log_scale.offset(sequence, 0, job % p.n.heads)] = last[job];
    f(std::as_const(weighted), scratch.subspan(token_weights_bytes(p)));
  } else {
    f(p, scratch);
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
