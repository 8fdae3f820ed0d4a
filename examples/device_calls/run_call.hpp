// A plain call as the library's: forward, or backward where gradients are asked for.
#pragma once

#include <gatescan/api/verbs.hpp>
#include <span>
#include <string>

#include "call.hpp"
#include "flatten.hpp"

namespace device_calls {

/// f(the mode that `c` names), which R has to have.
template <class R, class F>
auto with_mode(const call& c, const F& f) {
  const auto in = [&]<class Mode>(const Mode& mode) -> decltype(f(gatescan::recurrent{})) {
    if constexpr (Mode::template supports<R>)
      return f(mode);
    else
      throw device_error(std::string(R::name) + " has no mode " + c.mode);
  };
  if (c.mode == "recurrent") return in(gatescan::recurrent{});
  if (c.mode == "scan") return in(gatescan::scan{c.segments});
  if (c.mode == "attention") return in(gatescan::attention{});
  if (c.mode == "automatic") return in(gatescan::automatic{});
  if (c.mode != "chunked") throw device_error("no mode is called " + c.mode);
  return in(c.chunk > 0 ? gatescan::chunked{c.chunk} : gatescan::chunked{});
}

/// Of recurrence R in format T of the library's, on backend `where`.
template <class R, class T, class Backend>
void run_call(const Backend& where, const call& c, std::span<std::byte> scratch) {
  const auto in = inputs_of<typename R::template inputs<T>>(c);
  with_mode<R>(c, [&](const auto& mode) {
    if (c.gradients.empty())
      gatescan::forward(where, mode, in, results_of<R, typename R::template outputs<T>>(c),
                        {scratch});
    else
      gatescan::backward(where, mode, in,
                         results_of<R, typename R::template output_gradients<T>>(c),
                         gradients_of<R, typename R::template gradients<T>>(c), {scratch});
  });
}

}  // namespace device_calls
