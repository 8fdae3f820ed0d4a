// Small work, which costs mostly the call: cells beside a plain loop over the same operands, which
// is what a user would write instead. On one thread.
#pragma once

#include "cells.hpp"

namespace bench {

/// Forward by loop(operands), states beginning at 0.
template <class O, class T, class Loop>
verified_call prepare_loop(const shape& s, const Loop& loop) {
  using R = support::recurrence_of<O>;
  const auto x = std::make_shared<operands<R, T>>(s, false);
  verified_call cell;
  cell.call = [x, loop] {
    x->final_state.clear();
    loop(*x);
  };
  cell.useful = useful_work(pass::forward, s, single<T>, static_cast<double>(x->bytes()), 0, 1);
  check<O, T> oracle(*x);
  oracle.forget_before_window();
  cell.call();
  cell.error = oracle.forward(x->in.initial_state);
  return cell;
}

template <class O, class T, class Loop, class... Modes>
void add_small_runs(const shape& s, const Loop& loop, const Modes&... modes) {
  const auto add = [&](const char* how, std::function<verified_call()> prepare) {
    add_cell(cell_name<O, T>(pass::forward, how, s, 1), std::move(prepare), unit::microseconds);
  };
  add("plain_loop", [=] { return prepare_loop<O, T>(s, loop); });
  (add(modes.name, [=] { return prepare_run<O, T>(pass::forward, modes, s, 1); }), ...);
}

/// A step by the loop, by the verb and by a stepper.
template <class O, class T, class Loop>
void add_small_step(const shape& s, const Loop& loop) {
  const auto add = [&](const char* how, const auto& make) {
    add_cell(
        cell_name<O, T>(pass::step, how, s, 1), [=] { return prepare_step<O, T>(s, 1, make); },
        unit::microseconds);
  };
  add("plain_loop", [=](const gatescan::cpu&, const auto& x, const auto&, const auto&) {
    return [x, loop] { loop(*x); };
  });
  add_step<O, T>({1}, s, unit::microseconds);
  add("stepper",
      [](const gatescan::cpu& backend, const auto& x, const auto& token, const auto& out) {
        using token_type = std::remove_cvref_t<decltype(token)>;
        const auto prepared = std::make_shared<gatescan::stepper<gatescan::cpu, token_type>>(
            backend, token, x->outputs.final_state, out);
        return [x, prepared] { prepared->step(); };
      });
}

}  // namespace bench
