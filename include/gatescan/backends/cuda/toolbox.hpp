#pragma once
// What a kernel may ask of the machine. Kernels are plain C++ function objects ("programs") over a
// `block`, so that one text runs on a GPU (hardware.cuh) and, for tests, anywhere.
//
//   struct program {
//     index_t blocks() const;         blocks of the launch, any number
//     int threads() const;            threads of a block, a multiple of 32
//     int shared_bytes() const;       shared memory of a block
//     template <class Block>
//     GATESCAN_HD void operator()(Block& block) const;   what each thread of a block does
//   };
//
// A device runs programs one after another: `launch(gpu, program)`.

#include <concepts>
#include <cstdint>

#include "../../core/integers.hpp"
#include "../../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline constexpr int warp_threads = 32;

namespace gpu {
/// Of a piece of time (pieces/): what has to have come from beside it before a program
/// runs. One that does not need all says so: `static constexpr needs of_beside = needs::nothing;`.
enum class needs { nothing, state, everything };
}  // namespace gpu

/// Two bfloat16 in a register, the first in the low half.
struct bf16_pair {
  std::uint32_t bits = 0;
};

/// Two neighbouring floats of shared memory, read and written together.
struct alignas(8) float_pair {
  float first = 0, second = 0;
};

/// A float rounded to 11 bits, the last 13 of its 32 being 0.
struct tf32_number {
  std::uint32_t bits = 0;
};

/// A warp's product: sum (16 x 8) += a (16 x 16) b (16 x 8). Lane l has, with g = l / 4 and
/// i = 2 (l % 4): sum[0, 1] row g, columns i, i + 1; sum[2, 3] the same of row g + 8; a[0] row g,
/// columns i, i + 1; a[1] row g + 8; a[2], a[3] the same at columns i + 8; b[0] rows i, i + 1 of
/// column g; b[1] rows i + 8, i + 9. In tf32 a is 16 x 8 and b 8 x 8, and with i = l % 4: a[0] row
/// g, column i; a[1] row g + 8; a[2], a[3] the same at column i + 4; b[0] row i of column g; b[1]
/// row i + 4.
template <class B>
concept matrix_unit = requires(B block, float x, float (&sum)[4], const bf16_pair (&a)[4],
                               const bf16_pair (&b)[2], const tf32_number (&c)[4],
                               const tf32_number (&d)[2], bf16_pair (&to)[4], int at) {
  { block.rounded(x, x) } -> std::same_as<bf16_pair>;
  { block.in_tf32(x) } -> std::same_as<tf32_number>;
  block.multiply(sum, a, b);
  block.multiply(sum, c, d);
  block.load_matrices(to, block.template shared<bf16_pair>(1), at);
  block.load_transposed(to, block.template shared<bf16_pair>(1), at);
};

/// Four warps' product with b in shared memory (sm_90a): sum (64 x 64) += a (64 x 16) b (16 x 64).
/// A warp has 16 rows of a and of sum, a lane of them what matrix_unit says, sum[n] of columns 8 n
/// to 8 n + 7. b lies by squares of 8 x 8, a row of four pairs after the other: pair p of row k at
/// `at` + k / 8 * row_step + p / 4 * column_step + k % 8 * 4 + p % 4, steps multiples of 4.
///
///   show_stores()     what this thread has stored before is there for products after the next sync
///   begin_products()  registers are ready
///   multiply_group<First>(sum, a, b, at, row_step, column_step)    First: sum = a b
///   end_products()    what was begun is done
///
/// All of it by all threads of a block of 128. a stays as it is until end_products().
template <class B>
concept warpgroup_unit = requires(B block, float (&sum)[8][4], const bf16_pair (&a)[4], int n) {
  block.show_stores();
  block.begin_products();
  block.template multiply_group<true>(sum, a, block.template shared<bf16_pair>(1), n, n, n);
  block.end_products();
};

/// What all threads of a block, Threads of them, do together; numbers and sums are of any type.
/// None of it orders the block's shared memory. Sums and scans are in an order of the machine's
/// own, the same every time.
///
///   load(from, n, x)    x[i] of thread t = from[t Count + i], of n numbers; 0 beyond
///   store(to, n, x)     to[t Count + i] = x[i] of thread t; `to` and `from` have [] and +
///   exclusive_scan(x, identity, total, op)    op of the threads before; in total, of all threads
///   exclusive_scan_back(...)    the same with the last thread as the first
///   sum(x, op)          op of all threads, in thread 0
template <class B>
concept block_collectives = requires(B block, const double* from, double* to, double x,
                                     double (&some)[4], double (*op)(double, double)) {
  block.template load<warp_threads>(from, 1, some);
  block.template store<warp_threads>(to, 1, some);
  { block.template exclusive_scan<warp_threads>(x, x, x, op) } -> std::same_as<double>;
  { block.template exclusive_scan_back<warp_threads>(x, x, x, op) } -> std::same_as<double>;
  { block.template sum<warp_threads>(x, op) } -> std::same_as<double>;
};

/// Numbers of 4 or 8 bytes, and aligned pairs of numbers of 2 bytes, on their way from memory to a
/// thread's own places in shared memory, while it works. Those between two calls of close_fetches
/// are a group; after wait_for_fetches<Left>() all closed groups but the last Left are there, for
/// this thread to read.
template <class B>
concept fetches_ahead = requires(B block, const double* from, const std::uint16_t* pair) {
  block.fetch(block.template shared<double>(1), 0, from);
  block.fetch_pair(block.template shared<std::uint32_t>(1), 0, pair);
  block.close_fetches();
  block.template wait_for_fetches<1>();
};

template <class B>
concept thread_block = matrix_unit<B> && warpgroup_unit<B> && block_collectives<B> &&
    fetches_ahead<B> && requires(B block, float x, double y, int n, bool b) {
  { block.index() } -> std::same_as<index_t>;    // which block of the launch
  { block.thread() } -> std::same_as<int>;       // which thread of the block
  { block.thread_anew() } -> std::same_as<int>;  // the same, and a compiler cannot know that
  { block.threads() } -> std::same_as<int>;
  block.sync();                                    // all threads of the block; orders shared memory
  block.sync_warp();                               // the 32 threads of a warp
  { block.any(b) } -> std::same_as<bool>;          // sync(), and whether any thread said true
  block.template shared<float>(n)[n];              // n numbers; threads ask in the same order
  { block.shuffle(x, n) } -> std::same_as<float>;  // x of lane n of the warp
  { block.shuffle_xor(x, n) } -> std::same_as<float>;  // x of lane (own ^ n)
  { block.shuffle_xor(y, n) } -> std::same_as<double>;
};

// Where programs run: launch(device, program).
template <class D>
concept device_backend = requires {
  requires D::on_device;
};
template <class D>
concept tf32_backend = device_backend<D> && requires {
  requires D::multiplies_in_tf32;
};

template <class D>
concept warpgroup_backend = device_backend<D> && requires {
  requires D::multiplies_by_warpgroups;
};

/// Stands for any of them in a concept.
struct some_device {
  static constexpr bool on_device = true;
};

/// The bytes that n numbers take of shared memory.
template <class T>
GATESCAN_HD constexpr int shared_size(index_t n) {
  return static_cast<int>((n * static_cast<index_t>(sizeof(T)) + 15) / 16 * 16);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
