// Runs the CUDA backend's kernels without a GPU: blocks one after another, the threads of a block
// as fibers, barriers and shuffles as rendezvous. A test instrument: it also says when two threads
// of a block touch the same shared number without a barrier between, when threads part ways at a
// barrier, and when a block asks for more shared memory than its program said or leaves an array.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <gatescan/backends/cuda/software_matrix_unit.hpp>
#include <iterator>

#include "machine.hpp"
#include "truncated_sum.hpp"

namespace support {
namespace emulation {

// The toolbox (backends/cuda/toolbox.hpp) as a thread of the emulation sees it.
class block {
 public:
  block(machine& m, index_t index, int thread) : machine_(m), index_(index), thread_(thread) {}

  index_t index() const { return index_; }
  int thread() const { return thread_; }
  int thread_anew() const { return thread_; }
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
    machine_.wait(machine::waits::exchange);
    const int warp = thread_ / gatescan::detail::warp_threads * gatescan::detail::warp_threads;
    std::memcpy(&x, &machine_.slot(warp + lane), sizeof x);
    machine_.wait(machine::waits::exchange);
    return x;
  }
  template <class T>
  T shuffle_xor(T x, int lane_mask) {
    return shuffle(x, (thread_ % gatescan::detail::warp_threads) ^ lane_mask);
  }
  // Numbers come as late as they may.
  template <class X>
  void fetch(const shared_array<X>& to, index_t at, const X* from) {
    fetches_.back().push_back([number = to[at], from] { number = *from; });
  }
  template <class X>
  void fetch_pair(const shared_array<std::uint32_t>& to, index_t at, const X* from) {
    if (reinterpret_cast<std::uintptr_t>(from) % sizeof(std::uint32_t) != 0)
      throw emulation_error("a pair of numbers that is not aligned");
    fetches_.back().push_back([number = to[at], from] {
      std::uint32_t both;
      std::memcpy(&both, from, sizeof both);
      number = both;
    });
  }
  void close_fetches() { fetches_.emplace_back(); }
  template <int Left>
  void wait_for_fetches() {
    for (; fetches_.size() > Left + 1; fetches_.pop_front())
      for (const auto& bring : fetches_.front()) bring();
  }
  template <int Threads, class From, class X, std::size_t Count>
  void load(const From& from, int numbers, X (&to)[Count]) {
    of_whole_block<Threads>();
    machine_.wait(machine::waits::exchange);
    for (int i = 0; i < static_cast<int>(Count); ++i)
      if (const int at = thread_ * static_cast<int>(Count) + i; at < numbers)
        to[i] = from[at];
      else
        to[i] = X{};
  }
  template <int Threads, class To, class X, std::size_t Count>
  void store(const To& to, int numbers, X (&from)[Count]) {
    of_whole_block<Threads>();
    machine_.wait(machine::waits::exchange);
    for (int i = 0; i < static_cast<int>(Count); ++i)
      if (const int at = thread_ * static_cast<int>(Count) + i; at < numbers) to[at] = from[i];
  }
  // in the order of threads
  template <int Threads, class X, class Op>
  X exclusive_scan(const X& own, const X& identity, X& total, const Op& op) {
    X before = identity, all = own;
    of_threads<Threads>(own, [&](int of, const X& x) {
      all = of == 0 ? x : op(all, x);
      if (of + 1 == thread_) before = all;
    });
    total = all;
    return before;
  }
  template <int Threads, class X, class Op>
  X exclusive_scan_back(const X& own, const X& identity, X& total, const Op& op) {
    X before = identity, all = own;
    of_threads<Threads, true>(own, [&](int of, const X& x) {
      all = of == Threads - 1 ? x : op(all, x);
      if (of == thread_ + 1) before = all;
    });
    total = all;
    return before;
  }
  template <int Threads, class X, class Op>
  X sum(const X& own, const Op& op) {
    X all = own;
    of_threads<Threads>(own, [&](int of, const X& x) { all = of == 0 ? x : op(all, x); });
    return thread_ == 0 ? all : own;
  }
  void load_matrices(bf16_pair (&to)[4], const shared_array<bf16_pair>& from, int at) {
    const int lane = thread_ % gatescan::detail::warp_threads;
    load_rows(at, [&](std::size_t m, auto row) { to[m] = from[row(lane / 4) + lane % 4]; });
  }
  void load_transposed(bf16_pair (&to)[4], const shared_array<bf16_pair>& from, int at) {
    const int lane = thread_ % gatescan::detail::warp_threads, column = lane / 4;
    load_rows(at, [&](std::size_t m, auto row) {
      const auto half = [&](int of) {
        const bf16_pair both = from[row(of) + column / 2];
        return both.bits >> column % 2 * 16 & 0xffffu;
      };
      to[m].bits = half(lane % 4 * 2) | half(lane % 4 * 2 + 1) << 16;
    });
  }
  bf16_pair rounded(float first, float second) {
    return gatescan::detail::rounded_pair(first, second);
  }
  tf32_number in_tf32(float x) { return gatescan::detail::rounded_to_tf32(x); }
  void multiply(float (&sum)[4], const bf16_pair (&a)[4], const bf16_pair (&b)[2]) {
    const auto half = [](std::uint32_t pair, int k) {
      return gatescan::detail::bits_as<float>(k % 2 == 0 ? pair << 16 : pair & 0xffff0000u);
    };
    multiply_fragments<16>(
        sum, a, b, [&](const auto& of, int row, int k) { return half(of[row / 8 + k / 8 * 2], k); },
        [&](const auto& of, int k) { return half(of[4 + k / 8], k); },
        [](int k) { return k % 8 / 2; });
  }
  void multiply(float (&sum)[4], const tf32_number (&a)[4], const tf32_number (&b)[2]) {
    const auto number = [](std::uint32_t bits) { return gatescan::detail::bits_as<float>(bits); };
    multiply_fragments<8>(
        sum, a, b, [&](const auto& of, int row, int k) { return number(of[row / 8 + k / 4 * 2]); },
        [&](const auto& of, int k) { return number(of[4 + k / 4]); }, [](int k) { return k % 4; });
  }
  void show_stores() {}
  void begin_products() {}
  void end_products() {}
  template <bool First>
  void multiply_group(float (&sum)[8][4], const bf16_pair (&a)[4], const shared_array<bf16_pair>& b,
                      int at, int row_step, int column_step) {
    of_whole_block<4 * gatescan::detail::warp_threads>();
    const int lane = thread_ % gatescan::detail::warp_threads, column = lane / 4;
    const auto half = [&](int tile, int row) {
      const bf16_pair both =
          b[at + row / 8 * row_step + tile * column_step + row % 8 * 4 + column / 2];
      return both.bits >> column % 2 * 16 & 0xffffu;
    };
    for (int tile = 0; tile < 8; ++tile) {
      auto& of_tile = sum[tile];
      if (First) std::fill(std::begin(of_tile), std::end(of_tile), 0.0f);
      bf16_pair columns[2];
      for (int m = 0; m < 2; ++m) {
        const int row = lane % 4 * 2 + m * 8;
        columns[m].bits = half(tile, row) | half(tile, row + 1) << 16;
      }
      multiply(of_tile, a, columns);
    }
  }

 private:
  template <int Threads>
  void of_whole_block() const {
    if (Threads != threads())
      throw emulation_error("a collective of " + std::to_string(Threads) +
                            " threads in a block of " + std::to_string(threads()));
  }
  // f(thread, its x) for all threads of the block
  template <int Threads, bool LastFirst = false, class X, class F>
  void of_threads(const X& own, F f) {
    of_whole_block<Threads>();
    machine_.slot(thread_) = reinterpret_cast<std::uintptr_t>(&own);
    machine_.wait(machine::waits::block_exchange);
    for (int i = 0; i < Threads; ++i) {
      const int of = LastFirst ? Threads - 1 - i : i;
      f(of, *reinterpret_cast<const X*>(machine_.slot(of)));
    }
    machine_.wait(machine::waits::block_exchange);
  }
  // f(m, row) for four matrices; row(n) is where row n of matrix m begins
  template <class F>
  void load_rows(int at, F f) {
    if (at % 4 != 0)
      throw emulation_error("a matrix row at pair " + std::to_string(at) + ", not at 16 bytes");
    machine_.slot(thread_) = static_cast<std::uint64_t>(at);
    machine_.wait(machine::waits::exchange);
    const int warp = thread_ / gatescan::detail::warp_threads * gatescan::detail::warp_threads;
    for (std::size_t m = 0; m < 4; ++m)
      f(m, [&](int n) {
        return static_cast<index_t>(machine_.slot(warp + static_cast<int>(m) * 8 + n));
      });
    machine_.wait(machine::waits::exchange);
  }
  // sum (16 x 8) += a (16 x Depth) b: a_at(fragments, row, k) and b_at(fragments, k) find a number
  // in what lane 4 (row or column) + lane_of(k) of the warp has
  template <int Depth, class Number, class A, class B, class Lane>
  void multiply_fragments(float (&sum)[4], const Number (&a)[4], const Number (&b)[2], A a_at,
                          B b_at, Lane lane_of) {
    auto& mine = machine_.fragments(thread_);
    for (std::size_t i = 0; i < 4; ++i) mine[i] = a[i].bits;
    for (std::size_t i = 0; i < 2; ++i) mine[4 + i] = b[i].bits;
    machine_.wait(machine::waits::exchange);
    const int lanes = gatescan::detail::warp_threads, warp = thread_ / lanes * lanes,
              lane = thread_ % lanes;
    constexpr std::size_t depth = static_cast<std::size_t>(Depth);
    float x[2][depth], y[2][depth];  // of this lane's rows and columns
    for (int k = 0; k < Depth; ++k)
      for (int i = 0; i < 2; ++i) {
        const int row = lane / 4 + i * 8, column = lane % 4 * 2 + i;
        x[i][k] = a_at(machine_.fragments(warp + row % 8 * 4 + lane_of(k)).data(), row, k);
        y[i][k] = b_at(machine_.fragments(warp + column * 4 + lane_of(k)).data(), k);
      }
    for (int i = 0; i < 4; ++i) {
      std::array<float, static_cast<std::size_t>(Depth + 1)> terms;
      terms[static_cast<std::size_t>(Depth)] = sum[i];
      for (int k = 0; k < Depth; ++k)
        terms[static_cast<std::size_t>(k)] = x[i / 2][k] * y[i % 2][k];  // exact
      sum[i] = truncated_sum(terms);
    }
    machine_.wait(machine::waits::exchange);
  }

  machine& machine_;
  index_t index_;
  int thread_;
  std::size_t used_ = 0;
  std::deque<std::vector<std::function<void()>>> fetches_{1};  // by groups; the last one is open
};
static_assert(gatescan::detail::thread_block<block>);

}  // namespace emulation

/// Stands in for gatescan::cuda{} in tests; "device memory" is the host's.
struct emulated_gpu {
  static constexpr bool on_device = true;
  bool last_block_first = false;
  index_t most_blocks = -1;  // of a launch; of a larger one some at its ends and at 2^16

  template <class Program>
  friend void launch(const emulated_gpu& gpu, const Program& program) {
    const index_t blocks = program.blocks();
    if (blocks == 0) return;
    emulation::machine m(program.threads(), program.shared_bytes());
    for (index_t i = 0; i < blocks; ++i) {
      const index_t b = gpu.last_block_first ? blocks - 1 - i : i;
      if (gpu.leaves_out(b, blocks)) continue;
      m.run([&](int thread) {
        emulation::block block(m, b, thread);
        program(block);
      });
    }
  }
  bool leaves_out(index_t block, index_t blocks) const {
    const auto near = [block](index_t to) { return block >= to - 4 && block < to + 4; };
    return most_blocks >= 0 && blocks > most_blocks && !near(0) && !near(1 << 16) && !near(blocks);
  }
  friend std::unique_ptr<std::byte[]> own_scratch(const emulated_gpu&, std::size_t bytes) {
    return bytes > 0 ? std::make_unique_for_overwrite<std::byte[]>(bytes) : nullptr;
  }
  // Beside a stream, for pieces of time.
  friend std::unique_ptr<std::byte[]> staging_memory(const emulated_gpu& gpu, std::size_t bytes) {
    return own_scratch(gpu, bytes);
  }
  friend void copy_to_device(const emulated_gpu&, void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  friend void copy_to_host(const emulated_gpu&, void* to, const void* from, std::size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  friend void wait_for(const emulated_gpu&) {}
};

/// The same where MPI sends and receives what lies on a device.
struct emulated_gpu_of_mpi : emulated_gpu {
  friend bool mpi_reads_memory_of(const emulated_gpu_of_mpi&) { return true; }
};

/// The same for gatescan::cuda_warpgroups{}.
struct emulated_warpgroup_gpu : emulated_gpu {
  static constexpr bool multiplies_by_warpgroups = true;
};

/// The same for gatescan::cuda_tf32{}.
struct emulated_tf32_gpu : emulated_gpu {
  static constexpr bool multiplies_in_tf32 = true;
};

}  // namespace support
