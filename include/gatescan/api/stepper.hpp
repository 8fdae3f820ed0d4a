#pragma once
// Streaming, prepared: the checks of `step` made once for token after token.

#include "execution.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// stepper{cpu{}, token, state, out}: a token's views, a state and an output, checked once. Every
/// step() then takes the numbers that lie there by now, advances the state and writes the output,
/// as the verb `step` does and with the same bits.
///
/// Requires: the memory of all views outlives it. The state is the caller's to read or change
///           between calls.
/// Errors:   shape_error or workspace_error from the constructor, before anything is written.
/// Cost:     where no scratch is given the constructor allocates; step() never does. One thread at
///           a time may call step().
template <class Backend, class Token>
class stepper {
  using recurrence = typename Token::recurrence;
  using format = typename Token::format;

  using state_type = typename recurrence::template state<format>;
  using out_type = typename recurrence::template token_out<format>;

 public:
  stepper(const Backend& backend, const Token& token, const state_type& state, const out_type& out,
          const workspace& scratch = {})
      : stepper(backend, on_state(token, state), {.out = out, .final_state = state}, scratch) {
    static_assert(detail::is_a_call<Backend, recurrent, Token>());
  }

  void step() { run_step(backend_, problem_, results_, memory_.memory()); }

 private:
  static Token on_state(Token in, const state_type& state) {
    if (in.sequence_offsets.given())
      fail<shape_error>("sequence_offsets: expected none in step, got some");
    detail::for_each_part<recurrence>(
        [&](state_part which, const char* part, const axes& a, const auto& own, auto& initial) {
          const bool wanted =
              which != state_part::normaliser || detail::has_normaliser<recurrence>(in);
          if (!own.given() && wanted) detail::fail_missing({"state", false, part}, a);
          if (initial.given())
            fail<shape_error>(std::string(detail::operand_name("initial_state", false, part)) +
                              ": expected none beside step's state, got one");
          initial = own;
        },
        state, in.initial_state);
    return in;
  }
  stepper(const Backend& backend, const Token& in, const detail::outputs_of<Token>& out,
          const workspace& scratch)
      : problem_(detail::bind_inputs<recurrence, true>(in)),
        results_(detail::bind_outputs<true>(problem_, in, out)),
        backend_(for_one_call(backend, problem_)),
        memory_(backend_, scratch, step_bytes(backend_, problem_)) {}

  detail::problem_of<recurrence, format> problem_;
  detail::forward_results<format> results_;
  Backend backend_;
  detail::scratch_memory<Backend> memory_;
};

template <class Backend, class Token, class... Rest>
stepper(const Backend&, const Token&, const Rest&...) -> stepper<Backend, Token>;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
