#include "verbs.cuh"

namespace device_compile {

template void in_formats<gatescan::elementwise, float, double, gatescan::bf16, gatescan::half,
                         gatescan::wide<float>>(const gatescan::cuda&, const gatescan::workspace&);

}  // namespace device_compile
