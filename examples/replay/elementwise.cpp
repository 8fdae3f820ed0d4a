// h_t = a_t h_{t-1} + x_t, real or complex: complex results as soon as one operand is.
#include "run.hpp"

namespace replay {
namespace {

struct binding {
  template <class T>
  static auto inputs(operands<T>& from, const options&) {
    using state = gatescan::state_t<T>;
    return gatescan::elementwise::inputs<T>{
        .a = from.required_complex("a", 4),
        .x = from.required_complex("x", 4),
        .initial_state = from.template optional_complex<state>("initial_state", 3),
        .sequence_offsets = from.template optional<std::int64_t>("sequence_offsets", 1)};
  }

  template <class T>
  static auto outputs(operands<T>& from, const gatescan::elementwise::inputs<T>& in) {
    using state = gatescan::state_t<T>;
    const auto* shape = in.x.shape;
    const auto H = heads(in.a, in.x), n = sequences(in.sequence_offsets, shape[0]);
    const bool is_complex = complex_somewhere(from);
    return gatescan::elementwise::outputs<T>{
        .out = from.complex_result("out", {shape[0], shape[1], H, shape[3]}, is_complex),
        .final_state =
            from.template complex_result<state>("final_state", {n, H, shape[3]}, is_complex)};
  }

  template <class T>
  static auto output_gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    if (!complex_somewhere(from)) {
      return gatescan::elementwise::output_gradients<T>{
          .out = from.required("d_out", 4),
          .final_state = from.template optional<state>("d_final_state", 3)};
    }
    return gatescan::elementwise::output_gradients<T>{
        .out = from.result_gradient(from.required_complex("d_out", 4)),
        .final_state =
            from.result_gradient(from.template optional_complex<state>("d_final_state", 3))};
  }

  template <class T>
  static auto gradients(operands<T>& from) {
    using state = gatescan::state_t<T>;
    return gatescan::elementwise::gradients<T>{
        .a = from.complex_gradient("a"),
        .x = from.complex_gradient("x"),
        .initial_state = from.template complex_gradient<state>("initial_state")};
  }

 private:
  template <class T>
  static bool complex_somewhere(const operands<T>& from) {
    return from.has("a_im") || from.has("x_im") || from.has("initial_state_im");
  }
};

}  // namespace

tensors elementwise(const options& asked, const safetensors::entries& file,
                    device_calls::device* device) {
  return run<binding>(asked, file, device, "x");
}

}  // namespace replay
