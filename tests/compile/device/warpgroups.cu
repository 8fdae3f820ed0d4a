// The programs of warpgroups, whose instruction there is on sm_90a alone.
#include <gatescan/gatescan_cuda.cuh>

namespace device_compile {

using namespace gatescan::detail;
using in_bf16 = by_warpgroups<gatescan::device<gatescan::bf16>>;

template <class... Programs>
void all_of() {
  (static_cast<void>(kernel_of<Programs>()), ...);
}
void warpgroups() {
  using gpu::matrix::split_chunk_state;
  all_of<split_chunk_state<gatescan::gla, in_bf16, false>,
         split_chunk_state<gatescan::gla, in_bf16, true>,
         split_chunk_state<gatescan::gla, in_bf16, false, true>,
         split_chunk_state<gatescan::gateloop, in_bf16, true>>();
}

}  // namespace device_compile
