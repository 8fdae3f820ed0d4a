#include "reference.hpp"

#include <gatescan/gatescan.hpp>
#include <stdexcept>

namespace bench_cuda {
namespace {

using gatescan::axis;

gatescan::layout dense(const gatescan::axes& a, const slice& of) {
  gatescan::layout x;
  x.rank = a.rank;
  std::int64_t step = 1;
  for (int i = a.rank - 1; i >= 0; --i) {
    x.shape[i] = [&]() -> std::int64_t {
      switch (a.of[i]) {
        case axis::time:
          return of.time;
        case axis::key_or_one:
          return of.scalar_gate ? 1 : of.keys;
        case axis::key:
          return of.keys;
        case axis::value:
        case axis::channel:
          return of.values;
        default:
          return 1;
      }
    }();
    x.stride[i] = step;
    step *= x.shape[i];
  }
  return x;
}

template <class View>
void show(View& to, const gatescan::layout& where, auto* re, auto* im) {
  if constexpr (requires { to.im; })
    to = View(re, im, where);
  else
    to = View(re, where);
}

template <class R>
numbers_by_name answer(const slice& of) {
  typename R::template inputs<double> in;
  const auto give = [&of](const std::string& name, const gatescan::axes& a, auto& view) {
    const auto re = of.operands.find(name), im = of.operands.find(name + "_im");
    if (re == of.operands.end()) return;
    const gatescan::layout where = dense(a, of);
    if (static_cast<std::int64_t>(re->second.size()) != where.size())
      throw std::invalid_argument("a slice of " + name + " has the wrong size");
    show(view, where, re->second.data(), im == of.operands.end() ? nullptr : im->second.data());
  };
  R::operands([&](const char* name, const gatescan::axes& a, gatescan::presence,
                  auto& x) { give(name, a, x); },
              in);
  // a state of several parts starts as nothing, and ends unseen
  constexpr bool one_part = !gatescan::detail::has_parts<decltype(in.initial_state)>;
  if constexpr (one_part) give("initial_state", R::state_axes, in.initial_state);
  if constexpr (requires { in.softplus; }) in.softplus = true;
  if constexpr (requires { in.normalise; }) in.normalise = true;

  numbers_by_name results;
  const auto make = [&](const std::string& name, const gatescan::axes& a, auto& view) {
    const gatescan::layout where = dense(a, of);
    auto& re = results[name];
    re.resize(static_cast<std::size_t>(where.size()));
    double* im = nullptr;
    if constexpr (requires { view.im; }) {
      if (of.complex) {
        auto& numbers = results[name + "_im"];
        numbers.resize(re.size());
        im = numbers.data();
      }
    }
    show(view, where, re.data(), im);
  };
  const gatescan::cpu cpu;
  if (!of.backward) {
    typename R::template outputs<double> out;
    make("out", R::out_axes, out.out);
    if constexpr (one_part) make("final_state", R::state_axes, out.final_state);
    gatescan::forward(cpu, gatescan::chunked{}, in, out);
    return results;
  }
  typename R::template output_gradients<double> d_out;
  typename R::template gradients<double> d;
  give("out", R::out_axes, d_out.out);
  R::operands(
      [&](const char* name, const gatescan::axes& a, gatescan::presence, const auto& x, auto& to) {
        if (x.given()) make(std::string("d_") + name, a, to);
      },
      in, d);
  gatescan::backward(cpu, gatescan::chunked{}, in, d_out, d);
  return results;
}

}  // namespace

numbers_by_name reference(const std::string& recurrence, const slice& of) {
  if (recurrence == "aaren") return answer<gatescan::aaren>(of);
  if (recurrence == "elementwise") return answer<gatescan::elementwise>(of);
  if (recurrence == "gated_delta_net") return answer<gatescan::gated_delta_net>(of);
  if (recurrence == "gateloop") return answer<gatescan::gateloop>(of);
  if (recurrence == "gla") return answer<gatescan::gla>(of);
  if (recurrence == "linear_attention") return answer<gatescan::linear_attention>(of);
  if (recurrence == "mamba2") return answer<gatescan::mamba2>(of);
  if (recurrence == "mlstm") return answer<gatescan::mlstm>(of);
  if (recurrence == "rwkv4") return answer<gatescan::rwkv4>(of);
  if (recurrence == "rwkv6") return answer<gatescan::rwkv6>(of);
  if (recurrence == "rwkv7") return answer<gatescan::rwkv7>(of);
  if (recurrence == "selective_scan") return answer<gatescan::selective_scan>(of);
  throw std::invalid_argument("no recurrence is called " + recurrence);
}

}  // namespace bench_cuda
