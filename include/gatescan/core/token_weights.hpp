#pragma once
// Weights in log space. A recurrence whose gates and weights of keys are exponentials of any size
// gives their logarithms; kernels get both divided by e^m_t, where
//
//   m_t = max(m_{t-1} + log gate_t, log key_t)
//   gate'_t = e^((m_{t-1} - m_t) + log gate_t)      key'_t = e^(log key_t - m_t)
//
// so that neither is larger than 1 and their state stands for S e^m. m goes through all tokens in
// order in every mode, so all modes are one function. Gradients are those at fixed m: exact where
// the output does not depend on it.

#include <limits>

#include "math.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// One token of one head: the logarithms of gate' and key', and m.
template <class C>
struct token_weight {
  static constexpr C never = -std::numeric_limits<C>::infinity();

  C log_gate = 0, log_key = 0, log_scale = 0;

  /// From m of the token before; -inf where nothing has been written.
  GATESCAN_HD static token_weight after(C before, C log_gate, C log_key) {
    // a reset, whatever was before
    const C kept = log_gate == never ? C(never) : log_gate + before;
    const C m = larger(kept, log_key);
    if (m == never) return {never, never, never};
    // kept - m would be 0, and lose what rounding did to m
    return {kept == never ? never : (before - m) + log_gate, log_key - m, m};
  }
};

/// Those of all tokens, in memory of the call.
template <class C>
struct token_weights {
  token_weight<C>* first = nullptr;  // [head][batch][token]
  index_t batches = 0, tokens = 0;

  GATESCAN_HD token_weight<C>* of_head(index_t batch, index_t head) const {
    return first + (head * batches + batch) * tokens;
  }
  /// Of one token; of no meaning where weights are not in log space.
  GATESCAN_HD token_weight<C> at(index_t batch, index_t t, index_t head) const {
    return first == nullptr ? token_weight<C>{} : of_head(batch, head)[t];
  }
};

/// What stands in the place of a token stage.
template <class E>
struct weights_of_token {
  E gate, key, log_gate, log_scale;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
