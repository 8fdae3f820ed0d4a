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
  return measure.bytes_needed();
}

/// Those of all tokens of one head of a sequence. Returns m after them.
template <class R, class T>
state_t<T> find_token_weights(const problem_of<R, T>& p, index_t sequence, index_t head) {
  using C = state_t<T>;
  const index_t batch = p.batch_of(sequence);
  auto x = p.x;
  for_each_field<R>([&](auto& own) { own = own.of_head(batch, head, 0); }, x);
  token_weight<C>* const to = p.weights.of_head(batch, head);
  const operand<const C>& first = p.initial_state.log_scale;
  C m =
      first.given ? first.re[first.offset(sequence, 0, head)] : -std::numeric_limits<C>::infinity();
  for (index_t t = p.first_token(sequence); t < p.last_token(sequence); ++t) {
    const auto logs = R::log_weights(x, token_cursor<C, false>{t, p.n.keys});
    to[t] = token_weight<C>::after(m, logs.gate.v[0], logs.key.v[0]);
    m = to[t].log_scale;
  }
  return m;
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
    parallel_for(backend, p.n.sequences * p.n.heads, [&](index_t job, int) {
      const index_t sequence = job / p.n.heads, head = job % p.n.heads;
      const state_t<T> m = find_token_weights(weighted, sequence, head);
      if (log_scale.given) log_scale.re[log_scale.offset(sequence, 0, head)] = m;
    });
    f(std::as_const(weighted), scratch.subspan(token_weights_bytes(p)));
  } else {
    f(p, scratch);
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
