// The current CUDA device, through the CUDA runtime.
#include <cuda_runtime_api.h>

#include "device.hpp"
#include "kernels.hpp"

namespace device_calls {
namespace {

void check(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    throw device_error(std::string("cuda: ") + what + ": " + cudaGetErrorString(code));
}

std::size_t size(std::int64_t bytes) { return static_cast<std::size_t>(bytes); }

class cuda_device final : public device {
 public:
  cuda_device() {
    int devices = 0;
    const cudaError_t code = cudaGetDeviceCount(&devices);
    if (code != cudaSuccess || devices == 0)
      throw device_error(std::string("no CUDA device: ") + (code != cudaSuccess
                                                                ? cudaGetErrorString(code)
                                                                : "the driver lists none"));
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream");
    add_aaren(kernels_);
    add_elementwise(kernels_);
    add_gated_delta_net(kernels_);
    add_gateloop(kernels_);
    add_gla(kernels_);
    add_hgrn(kernels_);
    add_hgrn2(kernels_);
    add_linear_attention(kernels_);
    add_mamba2(kernels_);
    add_min_gru(kernels_);
    add_min_lstm(kernels_);
    add_mlstm(kernels_);
    add_retention(kernels_);
    add_rg_lru(kernels_);
    add_rwkv4(kernels_);
    add_rwkv6(kernels_);
    add_rwkv7(kernels_);
    add_selective_scan(kernels_);
  }
  cuda_device(const cuda_device&) = delete;
  cuda_device& operator=(const cuda_device&) = delete;
  ~cuda_device() override { cudaStreamDestroy(stream_); }

  std::shared_ptr<void> allocate(std::int64_t bytes) override {
    void* p = nullptr;
    check(cudaMalloc(&p, size(bytes > 0 ? bytes : 1)), "memory for operands and results");
    std::shared_ptr<void> owner(p, [](void* last) { cudaFree(last); });
    check(cudaMemsetAsync(p, 0, size(bytes), stream_), "memory for operands and results");
    return owner;
  }
  void write(void* to, const void* from, std::int64_t bytes) override {
    check(cudaMemcpyAsync(to, from, size(bytes), cudaMemcpyHostToDevice, stream_), "a copy");
    check(cudaStreamSynchronize(stream_), "a copy to the device");  // `from` may go now
  }
  void read(void* to, const void* from, std::int64_t bytes) override {
    check(cudaMemcpyAsync(to, from, size(bytes), cudaMemcpyDeviceToHost, stream_), "a copy");
    check(cudaStreamSynchronize(stream_), "the kernels");
  }
  std::int64_t room() const override {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "its memory");
    return static_cast<std::int64_t>(free);
  }

  const computation& find(const std::string& recurrence, const std::string& format) const override {
    const auto at = kernels_.find({recurrence, format});
    if (at == kernels_.end())
      throw device_error("this program was built without CUDA kernels of " + recurrence + " in " +
                         format + "; configure it with GATESCAN_COMPILE_EVERY_FORMAT=ON");
    return at->second;
  }
  void* stream() const override { return stream_; }
  void wait() override { check(cudaStreamSynchronize(stream_), "the kernels"); }

 private:
  cudaStream_t stream_ = nullptr;
  table kernels_;
};

}  // namespace

std::unique_ptr<device> open_device() { return std::make_unique<cuda_device>(); }

}  // namespace device_calls
