// S_t = diag(exp(log_decay_t)) S_{t-1} + k_t v_t^T, out_t = q_t^T S_t (scale 1).
#include "run.hpp"

namespace replay {
namespace {

struct binding {
  template <class T>
  static auto inputs(operands<T>& from, const options&) {
    using state = gatescan::state_t<T>;
    return gatescan::gla::inputs<T>{
        .q = from.required("q", 4),
        .k = from.required("k", 4),
        .v = from.required("v", 4),
        .log_decay = from.required("log_decay", 4),
        .initial_state = from.template optional<state>("initial_state", 4),
        .sequence_offsets = from.template optional<std::int64_t>("sequence_offsets", 1)};
  }

  template <class T>
  static auto outputs(operands<T>& from, const gatescan::gla::inputs<T>& in) {
    using state = gatescan::state_t<T>;
    const auto B = in.v.shape[0], L = in.v.shape[1], K = in.k.shape[3], V = in.v.shape[3];
    const auto H = heads(in.q, in.k, in.v, in.log_decay), n = sequences(in.sequence_offsets, B);
    return gatescan::gla::outputs<T>{
        .out = from.result("out", {B, L, H, V}),
        .final_state = from.template result<state>("final_state", {n, H, K, V})};
  }

  template <class T>
  static auto output_gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::gla::output_gradients<T>{
        .out = from.required("d_out", 4),
        .final_state = from.template optional<state>("d_final_state", 4)};
  }

  template <class T>
  static auto gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::gla::gradients<T>{
        .q = from.gradient("q"),
        .k = from.gradient("k"),
        .v = from.gradient("v"),
        .log_decay = from.gradient("log_decay"),
        .initial_state = from.template gradient<state>("initial_state")};
  }
};

}  // namespace

tensors gla(const options& asked, const safetensors::entries& file, device_calls::device* device) {
  return run<binding>(asked, file, device, "v");
}

}  // namespace replay
