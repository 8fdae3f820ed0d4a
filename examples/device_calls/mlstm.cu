#include "on_cuda.cuh"

namespace device_calls {
void add_mlstm(table& to) { add_formats<gatescan::mlstm>(to); }
}  // namespace device_calls
