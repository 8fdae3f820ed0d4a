#pragma once
// forward, backward and step. The order of arguments is fixed: where, how, what, into what,
// scratch.

#include "stepper.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// Computes `out` and, where given, `final_state` of the recurrence that `in` belongs to.
///
/// Requires: results apart from the inputs, except `out` in the place of an operand of the same
///           view and `final_state` in the place of `initial_state`.
/// Cost:     recurrent, chunked, scan O(L), attention O(L^2); scratch as a plan's
///           workspace_bytes() says. Without scratch the call allocates.
/// Numerics: arithmetic in state_t<T>. The same bits for any number of threads. A gate of exactly
///           0 is a select.
/// Errors:   shape_error or workspace_error before anything is written.
template <class Backend, class Mode, class In>
void forward(const Backend& backend, const Mode& mode, const In& in,
             const detail::outputs_of<In>& out, const workspace& scratch = {}) {
  if constexpr (detail::is_a_call<Backend, Mode, In>()) {
    const auto p = detail::bind_inputs<typename In::recurrence>(in);
    const auto to = detail::bind_outputs(p, in, out);
    detail::run_forward_of(for_one_call(backend, p), mode, p, to, scratch);
  }
}

/// Gradients of a loss by every operand whose gradient view is given, from the gradients of `out`
/// and `final_state` (one not given is 0). Overwrites; a gradient view of stride 0, or of fewer
/// heads, gets the sum.
///
/// Complex gradients: d loss / d Re z + i d loss / d Im z. Recomputes what it needs from `in`;
/// never keeps more than the states at chunk starts. Errors and numerics as forward; gradients are
/// the same bits for any number of threads.
template <class Backend, class Mode, class In>
void backward(const Backend& backend, const Mode& mode, const In& in,
              const detail::output_gradients_of<In>& d_out, const detail::gradients_of<In>& d,
              const workspace& scratch = {}) {
  if constexpr (detail::is_a_backward_call<Backend, Mode, In>()) {
    const auto p = detail::bind_inputs<typename In::recurrence>(in);
    const auto r = detail::bind_gradients(p, in, d_out, d);
    detail::run_backward_of(for_one_call(backend, p), mode, p, r, scratch);
  }
}

/// One token of streaming inference: advances the caller's `state` in place and writes `out`. The
/// token's operands are those of the recurrence without the time axis. The same bits as recurrent
/// mode. For token after token in the same memory, `stepper` checks once.
template <class Backend, class Token>
void step(const Backend& backend, const Token& token,
          const typename Token::recurrence::template state<typename Token::format>& state,
          const typename Token::recurrence::template token_out<typename Token::format>& out,
          const workspace& scratch = {}) {
  if constexpr (detail::is_a_call<Backend, recurrent, Token>())
    stepper<Backend, Token>(backend, token, state, out, scratch).step();
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
