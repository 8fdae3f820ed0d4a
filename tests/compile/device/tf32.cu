// Products in tf32: the complex chunk has every product that the real one has.
#include "verbs.cuh"

namespace device_compile {

template void in_formats<gatescan::gateloop, float>(const gatescan::cuda_tf32&,
                                                    const gatescan::workspace&);
#if defined(GATESCAN_EVERY_FORMAT)
template void in_formats<gatescan::gla, float>(const gatescan::cuda_tf32&,
                                               const gatescan::workspace&);
#endif

}  // namespace device_compile
