#pragma once
// A problem and its results as backends get them, checked: canonical operands of one recurrence,
// its sizes and its packed sequences.

#include "concepts.hpp"
#include "neighbours.hpp"
#include "state.hpp"
#include "token_weights.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// f(x...) for every operand of R: x is its field in each of the structures s.
GATESCAN_CALLS_ANY
template <class R, class F, class... S>
GATESCAN_HD GATESCAN_INLINE void for_each_field(F&& f, S&&... s) {
  R::operands([&](const char*, const axes&, presence, auto&&... x) { f(x...); }, s...);
}

/// The operands of R as format T stores them, to read and to write.
template <class R, class T>
using operands_of = typename R::template fields<
    operand_or_gate<operand<const storage_t<T>>, operand<const gate_t<T>>>>;
template <class R, class T>
using result_operands_of =
    typename R::template fields<operand_or_gate<operand<storage_t<T>>, operand<gate_t<T>>>>;

template <class R, class T>
struct problem_of {
  using storage = storage_t<T>;
  using state = state_t<T>;

  sizes n;
  bool complex = false;
  bool normalised = false;  // has a normaliser
  operands_of<R, T> x{};
  state_operands<const state> initial_state{};
  const index_t* offsets = nullptr;    // packed sequences
  token_weights<state> weights{};      // of tokens, where they are in log space
  const neighbours* beside = nullptr;  // of a piece of time

  GATESCAN_HD index_t batch_of(index_t sequence) const { return offsets ? 0 : sequence; }
  GATESCAN_HD index_t first_token(index_t sequence) const {
    return offsets ? offsets[sequence] : 0;
  }
  GATESCAN_HD index_t last_token(index_t sequence) const {
    return offsets ? offsets[sequence + 1] : n.time;
  }
  /// Whether a sequence's first token is here, and whether its last one is.
  bool begins(index_t sequence) const {
    return beside == nullptr || !beside->before || (offsets != nullptr && sequence > 0);
  }
  bool ends(index_t sequence) const {
    return beside == nullptr || !beside->after ||
           (offsets != nullptr && sequence + 1 < n.sequences);
  }
};

template <class T>
struct forward_results {
  operand<storage_t<T>> out{};
  state_operands<state_t<T>> final_state{};
};

template <class R, class T>
struct backward_results {
  operand<const storage_t<T>> out{};               // gradient of the output; not given: 0
  state_operands<const state_t<T>> final_state{};  // gradient of the final state; not given: 0
  result_operands_of<R, T> d{};
  state_operands<state_t<T>> initial_state{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
