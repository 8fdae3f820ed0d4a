#pragma once
// The CPU backend's entry points: picks the agent for a recurrence and a form of work, and hands it
// to a pass. Only the form that a call uses is compiled, forward and backward apart.

#include <algorithm>
#include <span>

#include "agents/stepwise.hpp"
#include "diagonal/agent.hpp"
#include "diagonal/channel_averages/agent.hpp"
#include "diagonal/scalar_heads/lower.hpp"
#include "diagonal/token_agent.hpp"
#include "matrix/agent.hpp"
#include "matrix/token_agent.hpp"
#include "work/backward_pass.hpp"
#include "work/forward_pass.hpp"
#include "work/token_pass.hpp"
#include "work/token_weights.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// The form whose kernels do a form of work: full surrogate attention of a matrix state is one
/// chunk of all tokens, and its adjoint is that of chunks whatever the state.
template <class R>
constexpr kernel_form kernels_for(kernel_form form, direction way) {
  const bool as_chunks = way == direction::backward || R::form.gate != gate_span::entry;
  return form == kernel_form::attention && as_chunks ? kernel_form::chunks : form;
}

/// f.operator()<Agent>() with the agent that a problem runs on
template <kernel_form Form, direction Way, class R, class T, class F>
auto with_agent(const problem_of<R, T>& p, F&& f) {
  constexpr kernel_form form = kernels_for<R>(Form, Way);
  if constexpr (!attention_form<R>) {
    return f.template operator()<stepwise_agent<R, T, form>>();
  } else if constexpr (R::form.gate != gate_span::entry) {
    return f.template operator()<matrix_agent<R, T, form>>();
  } else if constexpr (average_form<R>) {
    return f.template operator()<channel_average_agent<R, T, form>>();
  } else if constexpr (R::form.number == numbers::complex) {
    return f.template operator()<diagonal_agent<R, T, true, form>>();
  } else {
    if constexpr (R::form.number == numbers::either)
      if (p.complex) return f.template operator()<diagonal_agent<R, T, true, form>>();
    return f.template operator()<diagonal_agent<R, T, false, form>>();
  }
}

/// The same with the agent of one token.
template <class R, class T, class F>
auto with_token_agent(const problem_of<R, T>& p, F&& f) {
  if constexpr (!attention_form<R>) {
    return f.template operator()<token_by_forward<stepwise_agent<R, T, kernel_form::steps>>>();
  } else if constexpr (R::form.gate != gate_span::entry) {
    return f.template operator()<matrix_token_agent<R, T>>();
  } else if constexpr (average_form<R>) {
    using by_token = channel_average_agent<R, T, kernel_form::steps>;
    return f.template operator()<token_by_forward<by_token>>();
  } else if constexpr (R::form.number == numbers::complex) {
    return f.template operator()<diagonal_token_agent<R, T, true>>();
  } else {
    if constexpr (R::form.number == numbers::either)
      if (p.complex) return f.template operator()<diagonal_token_agent<R, T, true>>();
    return f.template operator()<diagonal_token_agent<R, T, false>>();
  }
}

template <class R, class T>
preferences preferences_of(const cpu&, const problem_of<R, T>& p) {
  return with_agent<kernel_form::steps, direction::forward>(p, [&]<class Agent>() {
    preferences best = Agent::preferred(p);
    best.parts = p.n.sequences * p.n.heads * Agent::value_blocks(p.n);
    return best;
  });
}

/// What becomes of a mode's schedule on this backend.
template <kernel_form Form, class R, class T>
schedule schedule_that_runs(const cpu&, const problem_of<R, T>& p, const scheduled<Form>& asked) {
  return with_agent<Form, direction::forward>(p,
                                              [&]<class Agent>() { return Agent::adapt(asked); });
}

/// The backend as one call, or a plan, sees it from beginning to end.
template <class R, class T>
cpu for_one_call(const cpu& backend, const problem_of<R, T>& p) {
  constexpr double for_a_key = 8;  // what is done for a key besides, in updates
  const auto count = [](index_t n) { return static_cast<double>(n); };
  return with_fixed_threads(backend, count(p.n.batch) * count(p.n.time) * count(p.n.heads) *
                                         count(p.n.keys) * (count(p.n.values) + for_a_key) *
                                         (p.complex ? 2 : 1));
}
template <class R, class T>
int worker_count(const cpu& backend, const problem_of<R, T>&) {
  return backend.threads;
}

template <kernel_form Form, class R, class T>
std::size_t forward_bytes(const cpu& backend, const problem_of<R, T>& p,
                          const scheduled<Form>& how) {
  const auto bytes = [&]<class Agent>(const auto& problem, const auto&) {
    return forward_pass<Agent>(backend, problem, how).bytes();
  };
  const forward_results<T> none{};
  return token_weights_bytes(p) +
         (std::max)(with_agent<Form, direction::forward>(
                        p, [&]<class A>() { return bytes.template operator()<A>(p, none); }),
                    lowered_bytes<Form>(p, none, bytes));
}
template <kernel_form Form, class R, class T>
std::size_t backward_bytes(const cpu& backend, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const scheduled<Form>& how) {
  const auto bytes = [&]<class Agent>(const auto& problem, const auto& results) {
    return backward_pass<Agent>(backend, problem, how, results).bytes();
  };
  return token_weights_bytes(p) +
         (std::max)(with_agent<Form, direction::backward>(
                        p, [&]<class A>() { return bytes.template operator()<A>(p, r); }),
                    lowered_bytes<Form>(p, r, bytes));
}

/// One token of streaming: the problem's initial state lies where the final one goes.
template <class R, class T>
std::size_t step_bytes(const cpu& backend, const problem_of<R, T>& p) {
  const auto lowered = [&]<class Agent>(const auto& problem, const auto&) {
    return token_pass<token_by_forward<Agent>>(backend, problem).bytes();
  };
  return token_weights_bytes(p) +
         (std::max)(
             with_token_agent(p, [&]<class A>() { return token_pass<A>(backend, p).bytes(); }),
             lowered_bytes<kernel_form::steps>(p, forward_results<T>{}, lowered));
}
template <class R, class T>
void run_step(const cpu& backend, const problem_of<R, T>& p, const forward_results<T>& to,
              std::span<std::byte> scratch) {
  const auto lowered = [&]<class Agent>(const auto& problem, const auto& results,
                                        std::span<std::byte> memory) {
    token_pass<token_by_forward<Agent>>(backend, problem).run(memory, results);
  };
  with_token_weights(backend, p, to.final_state.log_scale, scratch,
                     [&](const auto& problem, std::span<std::byte> rest) {
                       if (!run_lowered<kernel_form::steps>(problem, to, rest, lowered))
                         with_token_agent(problem, [&]<class A>() {
                           token_pass<A>(backend, problem).run(rest, to);
                         });
                     });
}

template <kernel_form Form, class R, class T>
void run_forward(const cpu& backend, const problem_of<R, T>& p, const forward_results<T>& to,
                 const scheduled<Form>& how, std::span<std::byte> scratch) {
  const auto run = [&]<class Agent>(const auto& problem, const auto& results,
                                    std::span<std::byte> memory) {
    forward_pass<Agent>(backend, problem, how).run(memory, results);
  };
  with_token_weights(backend, p, to.final_state.log_scale, scratch,
                     [&](const auto& problem, std::span<std::byte> rest) {
                       if (!run_lowered<Form>(problem, to, rest, run))
                         with_agent<Form, direction::forward>(problem, [&]<class A>() {
                           run.template operator()<A>(problem, to, rest);
                         });
                     });
}
template <kernel_form Form, class R, class T>
void run_backward(const cpu& backend, const problem_of<R, T>& p, const backward_results<R, T>& r,
                  const scheduled<Form>& how, std::span<std::byte> scratch) {
  const auto run = [&]<class Agent>(const auto& problem, const auto& results,
                                    std::span<std::byte> memory) {
    backward_pass<Agent>(backend, problem, how, results).run(memory);
  };
  with_token_weights(backend, p, {}, scratch, [&](const auto& problem, std::span<std::byte> rest) {
    if (!run_lowered<Form>(problem, r, rest, run))
      with_agent<Form, direction::backward>(
          problem, [&]<class A>() { run.template operator()<A>(problem, r, rest); });
  });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
