// S_t = diag(a_t) S_{t-1} + k_t v_t^T, out_t = Re(q_t^T S_t): the state is complex, v and out are
// real.
#include "run.hpp"

namespace replay {
namespace {

struct binding {
  template <class T>
  static auto inputs(operands<T>& from, const options&) {
    using state = gatescan::state_t<T>;
    return gatescan::gateloop::inputs<T>{
        .q = from.required_complex("q", 4),
        .k = from.required_complex("k", 4),
        .v = from.required("v", 4),
        .log_magnitude = from.optional("log_magnitude", 4),
        .phase = from.optional("phase", 4),
        .a = from.optional_complex("a", 4),
        .initial_state = from.template optional_complex<state>("initial_state", 4),
        .sequence_offsets = from.template optional<std::int64_t>("sequence_offsets", 1)};
  }

  template <class T>
  static auto outputs(operands<T>& from, const gatescan::gateloop::inputs<T>& in) {
    using state = gatescan::state_t<T>;
    const auto B = in.v.shape[0], L = in.v.shape[1], K = in.k.shape[3], V = in.v.shape[3];
    const auto H = heads(in.q, in.k, in.v, in.log_magnitude, in.phase, in.a);
    const auto n = sequences(in.sequence_offsets, B);
    return gatescan::gateloop::outputs<T>{
        .out = from.result("out", {B, L, H, V}),
        .final_state = from.template complex_result<state>("final_state", {n, H, K, V}, true)};
  }

  template <class T>
  static auto output_gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::gateloop::output_gradients<T>{
        .out = from.required("d_out", 4),
        .final_state =
            from.result_gradient(from.template optional_complex<state>("d_final_state", 4))};
  }

  template <class T>
  static auto gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::gateloop::gradients<T>{
        .q = from.complex_gradient("q"),
        .k = from.complex_gradient("k"),
        .v = from.gradient("v"),
        .log_magnitude = from.gradient("log_magnitude"),
        .phase = from.gradient("phase"),
        .a = from.complex_gradient("a"),
        .initial_state = from.template complex_gradient<state>("initial_state")};
  }
};

}  // namespace

tensors gateloop(const options& asked, const safetensors::entries& file,
                 device_calls::device* device) {
  return run<binding>(asked, file, device, "v");
}

}  // namespace replay
