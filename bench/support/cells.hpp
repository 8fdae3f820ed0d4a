// Cells: one recurrence, pass, mode, scalar, shape and number of threads, verified and then timed.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "verify.hpp"
#include "work.hpp"

namespace bench {

struct verified_call {
  std::string error;           // empty: the results are right
  std::function<void()> call;  // with all operands in place
  work useful;
  double workspace_bytes = 0;  // as its plan says
};

/// Registers a benchmark. `prepare` runs when its turn has come; a wrong result is not timed.
enum class unit { milliseconds, microseconds };
void add_cell(const std::string& name, std::function<verified_call()> prepare,
              unit in = unit::milliseconds);

/// Adds the cells of one recurrence, for these numbers of threads, when the program's turn comes.
struct rows {
  rows(const char* recurrence, void (*add)(const std::vector<int>& threads));
};
void add_all_rows(const std::vector<int>& threads);

/// Cells that were wrong.
int refused_cells();

template <class T>
constexpr const char* scalar_name() {
  if constexpr (std::is_same_v<T, double>) return "f64";
  if constexpr (std::is_same_v<T, float>) return "f32";
  if constexpr (std::is_same_v<T, gatescan::bf16>) return "bf16";
  if constexpr (std::is_same_v<T, gatescan::half>) return "f16";
  if constexpr (std::is_same_v<T, gatescan::wide<float>>) return "f32_wide";
}

template <class T>
inline constexpr bool single = sizeof(gatescan::state_t<T>) == 4;

using scratch_memory = std::vector<std::byte, cache_lines<std::byte>>;

/// Forward or backward by a plan. O: the recurrence's case of the tests (tests/support/cases).
template <class O, class T, class Mode>
verified_call prepare_run(pass kind, const Mode& mode, const shape& s, int threads) {
  using R = support::recurrence_of<O>;
  const auto x = std::make_shared<operands<R, T>>(s, kind == pass::backward);
  const gatescan::plan plan(gatescan::cpu{.threads = threads}, mode, support::problem_of<R>(x->in));
  const auto scratch = std::make_shared<scratch_memory>(
      kind == pass::forward ? plan.workspace_bytes() : plan.workspace_bytes(x->in, x->gradients));
  verified_call cell;
  cell.call = [x, plan, scratch, kind] {
    if (kind == pass::forward)
      plan.forward(x->in, x->outputs, {*scratch});
    else
      plan.backward(x->in, x->output_gradients, x->gradients, {*scratch});
  };
  cell.workspace_bytes = static_cast<double>(scratch->size());
  cell.useful = useful_work(kind, s, single<T>, static_cast<double>(x->bytes()), 0, threads);
  cell.error = [&] {
    check<O, T> oracle(*x);
    oracle.forget_before_window();
    if (kind == pass::forward) {
      cell.call();
      const std::string error = oracle.forward(x->in.initial_state);
      oracle.remember();
      return error;
    }
    const auto whole = x->out;
    oracle.mask_output_gradient();
    cell.call();
    const std::string error = oracle.backward();
    std::copy(whole.re.begin(), whole.re.end(),
              x->out.re.begin());  // the views stay where they are
    std::copy(whole.im.begin(), whole.im.end(), x->out.im.begin());
    oracle.remember();
    return error;
  }();
  return cell;
}

/// One token of streaming, s having one token, by a call that make(backend, operands, token, out)
/// returns.
template <class O, class T, class Make>
verified_call prepare_step(const shape& s, int threads, Make make) {
  using R = support::recurrence_of<O>;
  const auto x = std::make_shared<operands<R, T>>(s, false);
  auto& state = x->final_state;
  state.fill(s.n);
  auto before = state;

  const auto drop_time = [](const auto& from, const axes& a, auto& to) {
    to = from;
    if (from.given()) static_cast<layout&>(to) = without_time(from, a);
  };
  typename R::template inputs<T> token = x->in;  // scale and switches too
  R::operands([&](const char*, const axes& a, gatescan::presence, const auto& from,
                  auto& to) { drop_time(from, a, to); },
              x->in, token);
  typename R::template token_out<T> out;
  drop_time(x->outputs.out, R::out_axes, out);

  verified_call cell;
  cell.call = make(gatescan::cpu{.threads = threads}, x, token, out);
  cell.useful = useful_work(pass::step, s, single<T>, static_cast<double>(x->bytes()),
                            static_cast<double>(state.bytes()), threads);
  auto initial = x->in.initial_state;
  before.show(initial);
  check<O, T> oracle(*x);
  cell.call();
  cell.error = oracle.forward(initial);
  return cell;
}

template <class O, class T>
std::string cell_name(pass kind, const char* mode, const shape& s, int threads) {
  return std::string(support::recurrence_of<O>::name) + "/" + name(kind) + "/" + mode + "/cpu/" +
         scalar_name<T>() + "/" + s.text + "/" + part("threads", threads);
}

/// Forward and backward in these modes, and where there are several in that which automatic picks.
template <class O, class T, class... Modes>
void add_runs(const std::vector<int>& threads, const shape& s, const Modes&... modes) {
  const auto add = [&](pass kind, const auto& mode, int n) {
    add_cell(cell_name<O, T>(kind, mode.name, s, n),
             [=] { return prepare_run<O, T>(kind, mode, s, n); });
  };
  for (const pass kind : {pass::forward, pass::backward})
    for (const int n : threads) {
      (add(kind, modes, n), ...);
      if constexpr (sizeof...(modes) > 1) add(kind, gatescan::automatic{}, n);  // the best of them?
    }
}

template <class O, class T>
void add_step(const std::vector<int>& threads, const shape& s, unit in = unit::milliseconds) {
  using R = support::recurrence_of<O>;
  const auto make = [](const gatescan::cpu& backend, const auto& x, const auto& token,
                       const auto& out) {
    const gatescan::plan plan(backend, gatescan::recurrent{}, support::problem_of<R>(x->in));
    const auto scratch = std::make_shared<scratch_memory>(plan.workspace_bytes());
    return [x, token, out, scratch, backend] {
      gatescan::step(backend, token, x->outputs.final_state, out, {*scratch});
    };
  };
  for (const int n : threads)
    add_cell(
        cell_name<O, T>(pass::step, gatescan::recurrent::name, s, n),
        [=] { return prepare_step<O, T>(s, n, make); }, in);
}

}  // namespace bench
