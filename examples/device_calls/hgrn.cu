#include "on_cuda.cuh"

namespace device_calls {
void add_hgrn(table& to) { add_formats<gatescan::hgrn>(to); }
}  // namespace device_calls
