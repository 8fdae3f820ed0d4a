// Runs the CUDA backend's kernels without a GPU: blocks one after another, the threads of a block
// as fibers, barriers and shuffles as rendezvous. A test instrument: it also says when two threads
// of a block touch the same shared number without a barrier between, when threads part ways at a
// barrier, and when a block asks for more shared memory than its program said or leaves an array.
#pragma once

#include "machine.hpp"

namespace support {
namespace emulation {

// The toolbox (backends/cuda/toolbox.hpp) as a thread of the emulation sees it.
class block {
 public:
  block(machine& m, index_t index, int thread) : machine_(m), index_(index), thread_(thread) {}

  index_t index() const { return index_; }
  int thread() const { return thread_; }
  int threads() const { return machine_.threads(); }
  void sync() { machine_.wait(machine::waits::block); }
  void sync_warp() { machine_.wait(machine::waits::warp); }
  bool any(bool b) {
    machine_.slot(thread_) = b ? 1 : 0;
    sync();
    bool found = false;
    for (int i = 0; i < threads(); ++i) found = found || machine_.slot(i) != 0;
    sync();
    return found;
  }
  template <class T>
  shared_array<T> shared(index_t count) {
    return machine_.shared<T>(used_, count);
  }
  template <class T>
  T shuffle(T x, int lane) {
    static_assert(sizeof(T) <= sizeof(std::uint64_t));
    std::memcpy(&machine_.slot(thread_), &x, sizeof x);
    sync_warp();
    const int warp = thread_ / gatescan::detail::warp_threads * gatescan::detail::warp_threads;
    std::memcpy(&x, &machine_.slot(warp + lane), sizeof x);
    sync_warp();
    return x;
  }
  template <class T>
  T shuffle_xor(T x, int lane_mask) {
    return shuffle(x, (thread_ % gatescan::detail::warp_threads) ^ lane_mask);
  }
  bf16_pair rounded(float first, float second) {
    const std::uint32_t low = gatescan::bf16(first).bits, high = gatescan::bf16(second).bits;
    return {low | high << 16};
  }
  void multiply(float (&sum)[4], const bf16_pair (&a)[4], const bf16_pair (&b)[2]) {
    auto& mine = machine_.fragments(thread_);
    for (std::size_t i = 0; i < 4; ++i) mine[i] = a[i];
    for (std::size_t i = 0; i < 2; ++i) mine[4 + i] = b[i];
    sync_warp();
    const int lanes = gatescan::detail::warp_threads, warp = thread_ / lanes * lanes,
              lane = thread_ % lanes;
    const auto half = [](bf16_pair pair, int k) {
      return gatescan::detail::bits_as<float>(k % 2 == 0 ? pair.bits << 16
                                                         : pair.bits & 0xffff0000u);
    };
    for (int i = 0; i < 4; ++i) {
      const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
      for (int k = 0; k < 16; ++k) {
        const auto& of_row = machine_.fragments(warp + row % 8 * 4 + k % 8 / 2);
        const auto& of_column = machine_.fragments(warp + column * 4 + k % 8 / 2);
        const float x = half(of_row[static_cast<std::size_t>(row / 8 + k / 8 * 2)], k),
                    y = half(of_column[static_cast<std::size_t>(4 + k / 8)], k);
        sum[i] += x * y;
      }
    }
    sync_warp();
  }

 private:
  machine& machine_;
  index_t index_;
  int thread_;
  std::size_t used_ = 0;
};
static_assert(gatescan::detail::thread_block<block>);

}  // namespace emulation

/// Stands in for gatescan::cuda{} in tests; "device memory" is the host's.
struct emulated_gpu {
  static constexpr bool on_device = true;

  template <class Program>
  friend void run(const emulated_gpu&, const Program& program) {
    if (program.blocks() == 0) return;
    emulation::machine m(program.threads(), program.shared_bytes());
    for (index_t b = 0; b < program.blocks(); ++b)
      m.run([&](int thread) {
        emulation::block block(m, b, thread);
        program(block);
      });
  }
  friend std::unique_ptr<std::byte[]> own_scratch(const emulated_gpu&, std::size_t bytes) {
    return bytes > 0 ? std::make_unique_for_overwrite<std::byte[]>(bytes) : nullptr;
  }
};

}  // namespace support
