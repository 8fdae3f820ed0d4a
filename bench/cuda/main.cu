// Times of the CUDA backend: forward, and forward with backward, of matrix states and of the
// selective scan. Every cell is checked against recurrent mode before it is timed; operands are
// rotated, so that none is left in a cache from the call before. Times are medians of many calls.
//
//   gatescan_bench_cuda [TOKENS [SHORTEST]]    TOKENS tokens a call, lengths from SHORTEST on
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <gatescan/gatescan_cuda.cuh>
#include <memory>
#include <string>
#include <vector>

#include "operands.cuh"

namespace {

using namespace bench_cuda;

// Milliseconds of call(i), i the set of operands.
template <class F>
double median_time(cudaStream_t stream, int sets, F call) {
  constexpr int warm_up = 5, calls = 30;
  for (int i = 0; i < warm_up; ++i) call(i % sets);
  std::vector<float> times;
  cudaEvent_t start = nullptr, stop = nullptr;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&stop));
  for (int i = 0; i < calls; ++i) {
    check(cudaEventRecord(start, stream));
    call(i % sets);
    check(cudaEventRecord(stop, stream));
    check(cudaEventSynchronize(stop));
    times.push_back(0);
    check(cudaEventElapsedTime(&times.back(), start, stop));
  }
  check(cudaEventDestroy(start));
  check(cudaEventDestroy(stop));
  std::nth_element(times.begin(), times.begin() + calls / 2, times.end());
  return static_cast<double>(times[calls / 2]);
}

// Largest difference relative to the largest number.
double difference(const std::vector<float>& x, const std::vector<float>& y) {
  double most = 0, size = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = std::fabs(double{x[i]} - double{y[i]});
    most = d <= most ? most : d;  // NaN is a difference too
    size = std::max(size, std::fabs(double{y[i]}));
  }
  return most / std::max(size, 1e-30);
}

template <class R, class S>
void measure(const char* format, const shape& n) {
  using T = gatescan::device<S>;
  constexpr int sets = 3;
  cudaStream_t stream = nullptr;
  check(cudaStreamCreate(&stream));
  {
    const gatescan::cuda gpu{stream};
    std::vector<std::unique_ptr<operands<R, S>>> x;
    for (int i = 0; i < sets; ++i) x.push_back(std::make_unique<operands<R, S>>(n));
    const gatescan::plan plan(gpu, gatescan::chunked{}, problem_of<R, T>(n));
    const array<std::byte> memory(static_cast<std::int64_t>(plan.workspace_bytes()));
    const gatescan::workspace scratch{{memory.data(), plan.workspace_bytes()}};

    gatescan::forward(gpu, gatescan::recurrent{}, x[0]->in, x[0]->results());
    const std::vector<float> want = x[0]->out.to_host();
    plan.forward(x[0]->in, x[0]->results(), scratch);
    check(cudaStreamSynchronize(stream));
    const double error = difference(x[0]->out.to_host(), want);

    const double forward = median_time(stream, sets, [&](int i) {
      plan.forward(x[static_cast<std::size_t>(i)]->in, x[static_cast<std::size_t>(i)]->results(),
                   scratch);
    });
    const double both = median_time(stream, sets, [&](int i) {
      auto& o = *x[static_cast<std::size_t>(i)];
      plan.forward(o.in, o.results(), scratch);
      plan.backward(o.in, o.result_gradients(), o.gradients(), scratch);
    });
    std::printf(
        "%-15s %-6s B %-3lld L %-7lld H %-5lld K %-4lld V %-4lld %8.3f ms %8.3f ms   %.1e%s\n",
        R::name, format, static_cast<long long>(n.batch), static_cast<long long>(n.time),
        static_cast<long long>(n.heads), static_cast<long long>(n.keys),
        static_cast<long long>(n.values), forward, both, error, error < 2e-2 ? "" : "   WRONG");
  }
  check(cudaStreamDestroy(stream));
}

}  // namespace

int main(int arguments, char** values) {
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    std::puts("no CUDA device: nothing to measure");
    return 0;
  }
  cudaDeviceProp device{};
  check(cudaGetDeviceProperties(&device, 0));
  const std::int64_t tokens = arguments > 1 ? std::atoll(values[1]) : 65536;
  const std::int64_t shortest = arguments > 2 ? std::atoll(values[2]) : 2048;
  std::printf("%s, %lld tokens a call: forward, forward and backward, difference from recurrent\n",
              device.name, static_cast<long long>(tokens));
  for (std::int64_t length = shortest; length <= tokens; length *= 4) {
    const std::int64_t batch = tokens / length;
    measure<gatescan::gla, gatescan::bf16>("bf16", {batch, length, 32, 128, 128});
    measure<gatescan::gla, float>("float", {batch, length, 32, 128, 128});
    measure<gatescan::gla, gatescan::bf16>("bf16", {batch, length, 64, 64, 64});
    measure<gatescan::gateloop, float>("float", {batch, length, 32, 64, 64});
    measure<gatescan::selective_scan, gatescan::bf16>("bf16", {batch, length, 4096, 16, 1});
  }
  return 0;
}
