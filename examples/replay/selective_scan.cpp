// h_t = exp(delta' A) h_{t-1} + delta' B u, out = (C h + D u) silu(z): Mamba's selective scan.
#include "run.hpp"

namespace replay {
namespace {

struct binding {
  template <class T>
  static auto inputs(operands<T>& from, const options& asked) {
    using state = gatescan::state_t<T>;
    return gatescan::selective_scan::inputs<T>{
        .u = from.required("u", 3),
        .delta = from.required("delta", 3),
        .A = from.required("A", 2),
        .B = from.required("B", 4, 3),
        .C = from.required("C", 4, 3),
        .D = from.optional("D", 1),
        .z = from.optional("z", 3),
        .delta_bias = from.optional("delta_bias", 1),
        .initial_state = from.template optional<state>("initial_state", 3),
        .sequence_offsets = from.template optional<std::int64_t>("sequence_offsets", 1),
        .softplus = asked.softplus};
  }

  template <class T>
  static auto outputs(operands<T>& from, const gatescan::selective_scan::inputs<T>& in) {
    using state = gatescan::state_t<T>;
    const auto batch = in.u.shape[0], time = in.u.shape[1], channels = in.u.shape[2];
    const auto n = sequences(in.sequence_offsets, batch);
    return gatescan::selective_scan::outputs<T>{
        .out = from.result("out", {batch, time, channels}),
        .final_state = from.template result<state>("final_state", {n, channels, in.A.shape[1]})};
  }

  template <class T>
  static auto output_gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::selective_scan::output_gradients<T>{
        .out = from.required("d_out", 3),
        .final_state = from.template optional<state>("d_final_state", 3)};
  }

  template <class T>
  static auto gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::selective_scan::gradients<T>{
        .u = from.gradient("u"),
        .delta = from.gradient("delta"),
        .A = from.gradient("A"),
        .B = from.gradient("B"),
        .C = from.gradient("C"),
        .D = from.gradient("D"),
        .z = from.gradient("z"),
        .delta_bias = from.gradient("delta_bias"),
        .initial_state = from.template gradient<state>("initial_state")};
  }
};

}  // namespace

tensors selective_scan(const options& asked, const safetensors::entries& file,
                       device_calls::device* device) {
  return run<binding>(asked, file, device, "u");
}

}  // namespace replay
