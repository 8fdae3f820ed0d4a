#include "verbs.cuh"

namespace device_compile {

template void in_formats<gatescan::mlstm, float, gatescan::bf16 GATESCAN_OTHER_FORMATS>(
    const gatescan::cuda&, const gatescan::workspace&);

}  // namespace device_compile
