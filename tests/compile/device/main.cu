// A second translation unit with the same kernels, linked to those of gla.cu.
#include "verbs.cuh"

namespace device_compile {
extern template void in_formats<gatescan::gla, float, gatescan::bf16 GATESCAN_OTHER_FORMATS>(
    const gatescan::cuda&, const gatescan::workspace&);
}

int main(int arguments, char**) {
  const gatescan::cuda gpu{};
  if (arguments < 2) return 0;
  device_compile::in_formats<gatescan::gla, float>(gpu, {});
  device_compile::in_formats<gatescan::gla, float, gatescan::bf16 GATESCAN_OTHER_FORMATS>(gpu, {});
  return 0;
}
