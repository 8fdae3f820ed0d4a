// The kernels whose every loop the model knows (bench/cuda/model.py), and some whose size alone is
// kept (sass_sm90.json there), and no others: what a compiler makes of them is read in half a
// minute.
#include <gatescan/gatescan_cuda.cuh>

namespace {

using namespace gatescan;
using namespace gatescan::detail;
using namespace gatescan::detail::gpu;
using in_bf16 = device<bf16>;
using in_float = device<float>;

// compiled, never run
template <class... Programs>
void compile() {
  (static_cast<void>(kernel_of<Programs>()), ...);
}
template <bool Adjoint, bool HeadGate>
void of_gates() {
  compile<matrix::split_chunk_state<gla, in_bf16, Adjoint, HeadGate>,
          matrix::chunk_scan<gla, in_bf16, Adjoint, HeadGate>>();
}

}  // namespace

void kernels() {
  of_gates<false, false>(), of_gates<false, true>();
  of_gates<true, false>(), of_gates<true, true>();
  compile<matrix::split_keys_adjoint<gla, in_bf16>, matrix::head_keys_adjoint<gla, in_bf16>,
          matrix::state_passing<gla, in_bf16, false>>();
  compile<diagonal::fetched_scan<elementwise, in_float, false>,
          diagonal::fetched_adjoint<elementwise, in_float, false>,
          diagonal::shared_keys::segment_scan<selective_scan, in_bf16, 4>,
          diagonal::shared_keys::segment_adjoint<selective_scan, in_bf16, 4>>();
}
