// Tests on a device itself. Without one they are skipped, and say why.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstdio>

int main(int arguments, char** values) {
  ::testing::InitGoogleTest(&arguments, values);
  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  if (code != cudaSuccess || devices == 0) {
    std::printf("skipped: %s\n", code != cudaSuccess ? cudaGetErrorString(code) : "no CUDA device");
    return 77;
  }
  return RUN_ALL_TESTS();
}
