// On a GPU: gated linear attention in a stream, its training step captured in a graph, and the same
// bits from both. Without a device the program says so and is done.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gatescan/gatescan_cuda.cuh>
#include <vector>

namespace {

void check(cudaError_t code) {
  if (code == cudaSuccess) return;
  std::fprintf(stderr, "cuda: %s\n", cudaGetErrorString(code));
  std::exit(1);
}

// Device memory filled with a wave.
class numbers {
 public:
  numbers(std::int64_t count, float scale, float shift) : count_(count) {
    std::vector<float> host(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < host.size(); ++i)
      host[i] = shift + scale * std::sin(0.1f * static_cast<float>(i % 1009));
    check(cudaMalloc(&data_, host.size() * sizeof(float)));
    check(cudaMemcpy(data_, host.data(), host.size() * sizeof(float), cudaMemcpyHostToDevice));
  }
  numbers(const numbers&) = delete;
  numbers& operator=(const numbers&) = delete;
  ~numbers() { cudaFree(data_); }

  float* data() const { return data_; }
  std::vector<float> to_host() const {
    std::vector<float> host(static_cast<std::size_t>(count_));
    check(cudaMemcpy(host.data(), data_, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  std::int64_t count_;
  float* data_ = nullptr;
};

}  // namespace

int main() {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("no CUDA device: nothing to show");
    return 0;
  }
  using format = gatescan::device<float>;  // float in device memory
  constexpr std::int64_t B = 2, L = 1000, H = 4, K = 64, V = 64;
  const numbers q(B * L * H * K, 0.1f, 0), k(B * L * H * K, 0.1f, 0), v(B * L * H * V, 1, 0),
      decay(B * L * H * K, 0.05f, -0.06f), grad_out(B * L * H * V, 1, 0);
  const numbers out(B * L * H * V, 0, 0), grad_q(B * L * H * K, 0, 0), grad_k(B * L * H * K, 0, 0),
      grad_v(B * L * H * V, 0, 0), grad_decay(B * L * H * K, 0, 0);
  const auto keys = [&](const numbers& x) { return gatescan::view<float>(x.data(), {B, L, H, K}); };
  const auto values = [&](const numbers& x) {
    return gatescan::view<float>(x.data(), {B, L, H, V});
  };
  const gatescan::gla::inputs<format> in{
      .q = keys(q), .k = keys(k), .v = values(v), .log_decay = keys(decay)};

  cudaStream_t stream = nullptr;
  check(cudaStreamCreate(&stream));
  const gatescan::cuda gpu{stream};
  const gatescan::plan plan(
      gpu, gatescan::chunked{},
      gatescan::gla::problem<format>{.batch = B, .time = L, .heads = H, .keys = K, .values = V});
  std::byte* memory = nullptr;
  check(cudaMalloc(&memory, plan.workspace_bytes()));
  const gatescan::workspace scratch{{memory, plan.workspace_bytes()}};

  // Calls return at once; with scratch given they neither allocate nor wait.
  const auto training_step = [&] {
    plan.forward(in, {.out = values(out)}, scratch);
    plan.backward(
        in, {.out = values(grad_out)},
        {.q = keys(grad_q), .k = keys(grad_k), .v = values(grad_v), .log_decay = keys(grad_decay)},
        scratch);
  };
  training_step();
  check(cudaStreamSynchronize(stream));
  const std::vector<float> first_out = out.to_host(), first_gradient = grad_decay.to_host();

  // So they can be captured: the launches of a step become one.
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t captured = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  training_step();
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&captured, graph, 0));
  check(cudaMemset(out.data(), 0, first_out.size() * sizeof(float)));
  check(cudaGraphLaunch(captured, stream));
  check(cudaStreamSynchronize(stream));
  const std::vector<float> second_out = out.to_host(), second_gradient = grad_decay.to_host();

  const bool same =
      std::memcmp(first_out.data(), second_out.data(), first_out.size() * sizeof(float)) == 0 &&
      std::memcmp(first_gradient.data(), second_gradient.data(),
                  first_gradient.size() * sizeof(float)) == 0;
  std::printf("stream and graph give %s bits; the last output is %g\n",
              same ? "the same" : "different", static_cast<double>(first_out.back()));
  check(cudaGraphExecDestroy(captured));
  check(cudaGraphDestroy(graph));
  check(cudaFree(memory));
  check(cudaStreamDestroy(stream));
  return same ? 0 : 1;
}
