#include "recurrences.hpp"

#include <gatescan_calls.hpp>
#include <stdexcept>
#include <type_traits>

#include "device_calls/formats.hpp"
#include "device_calls/kernels.hpp"
#include "device_calls/run_call.hpp"

namespace replay {
namespace {

using gatescan::bf16, gatescan::half, gatescan::wide;

template <class View>
constexpr bool is_complex_view = requires(View x) {
  x.im;
};

template <class R>
bool has_normaliser(const std::vector<double>& options) {
  typename R::template inputs<float> in;
  std::size_t i = 0;
  R::options([&]<class S>(const char*, S& x) { x = static_cast<S>(options.at(i++)); }, in);
  return gatescan::detail::has_normaliser<R>(in);
}

template <class R>
recurrence describe() {
  using inputs = typename R::template inputs<float>;
  using outputs = typename R::template outputs<float>;
  recurrence r{
      .name = R::name,
      .operands = {},
      .options = {},
      .parts = {},
      .complex_state = is_complex_view<decltype(outputs::final_state)>,
      .out = {"out", R::out_axes, member::operand, true, is_complex_view<decltype(outputs::out)>},
      .number = R::form.number,
      .has_normaliser = has_normaliser<R>};
  gatescan::detail::for_each_part<R>(
      [&r](gatescan::state_part which, const char* name, const gatescan::axes& a, const auto&) {
        r.parts.push_back({name == nullptr ? "" : name, a, which});
      },
      outputs{}.final_state);
  const inputs defaults;
  // a format tells gates from other operands
  const typename R::template inputs<gatescan::float_gates<bf16>> kinds;
  R::operands(
      [&r]<class View, class Kind>(const char* name, const gatescan::axes& a,
                                   gatescan::presence need, const View&, const Kind&) {
        const bool is_gate = std::is_same_v<typename Kind::element, const float>;
        r.operands.push_back({name, a, is_gate ? member::gate : member::operand,
                              need == gatescan::presence::required, is_complex_view<View>});
      },
      defaults, kinds);
  R::options(
      [&r]<class S>(const char* name, const S& value) {
        r.options.push_back({name, static_cast<double>(value), std::is_same_v<S, bool>});
      },
      defaults);
  return r;
}
template <class... R>
std::vector<recurrence> describe_each(gatescan::type_list<R...>) {
  return {describe<R>()...};
}

template <class R, class T>
void run_on_host(const device_calls::call& c, void*, std::span<std::byte> scratch) {
  device_calls::run_call<R, T>(gatescan::cpu{.threads = c.threads}, c, scratch);
}
template <class R, class... T>
void add(device_calls::table& to) {
  (to.insert({{R::name, device_calls::format_name<T>()}, {nullptr, run_on_host<R, T>}}), ...);
}
template <class... R>
device_calls::table compute_each(gatescan::type_list<R...>) {
  device_calls::table all;
  (add<R, double, float, bf16, half, wide<float>, wide<bf16>, wide<half>>(all), ...);
  return all;
}

}  // namespace

const std::vector<recurrence>& recurrences() {
  static const auto all = describe_each(gatescan::all_recurrences{});
  return all;
}

const recurrence& find_recurrence(const std::string& name) {
  for (const recurrence& r : recurrences())
    if (r.name == name) return r;
  throw std::out_of_range("no recurrence is called " + name);
}

const device_calls::computation& host_computation(const std::string& recurrence,
                                                  const std::string& format) {
  static const auto all = compute_each(gatescan::all_recurrences{});
  return all.at({recurrence, format});
}

}  // namespace replay
