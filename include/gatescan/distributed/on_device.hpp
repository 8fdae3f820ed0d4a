#pragma once
// One sequence over ranks that have a device each: verbs.hpp, with pieces of backends/cuda/pieces/.
// Plain C++, for any device that runs programs.

#include "../backends/cuda/pieces/piece_of_time.hpp"
#include "verbs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <device_backend Device>
bool mpi_reads_memory_of(const Device&) {
  return mpi_takes_device_memory();
}
template <device_backend Device, class R, class T>
kernels kernels_of(const Device& gpu, const problem_of<R, T>&) {
  return {.on_device = true, .reached_by_mpi = mpi_reads_memory_of(gpu)};
}

template <device_backend Device, class Mode, class R, class T>
std::size_t piece_forward_bytes_of(const Device& gpu, const Mode& mode, const problem_of<R, T>& p) {
  return with_schedule(
      gpu, mode, p, direction::forward,
      [&](const auto&, const auto& how, const auto&) { return piece_forward_bytes(gpu, p, how); });
}
template <device_backend Device, class Mode, class R, class T>
std::size_t piece_backward_bytes_of(const Device& gpu, const Mode& mode, const problem_of<R, T>& p,
                                    const backward_results<R, T>& r) {
  return with_schedule(gpu, mode, p, direction::backward,
                       [&](const auto&, const auto& how, const auto&) {
                         return piece_backward_bytes(gpu, p, r, how);
                       });
}
template <device_backend Device, class Mode, class R, class T>
void run_piece_forward_of(const Device& gpu, const Mode& mode, const problem_of<R, T>& p,
                          const forward_results<T>& to, const workspace& scratch) {
  with_schedule(gpu, mode, p, direction::forward, [&](const auto&, const auto& how, const auto&) {
    run_piece_forward(gpu, p, to, how, scratch.memory);
  });
}
template <device_backend Device, class Mode, class R, class T>
void run_piece_backward_of(const Device& gpu, const Mode& mode, const problem_of<R, T>& p,
                           const backward_results<R, T>& r, const workspace& scratch) {
  with_schedule(gpu, mode, p, direction::backward, [&](const auto&, const auto& how, const auto&) {
    run_piece_backward(gpu, p, r, how, scratch.memory);
  });
}

/// Between numbers wherever they lie and a row of them. A thread a number.
template <class C, class U, bool ToRow>
struct pack_numbers {
  strided_numbers<U> numbers;
  C* row;

  index_t blocks() const { return ceil_divide(numbers.count(), threads()); }
  int threads() const { return gpu::tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t i = block.index() * block.threads() + block.thread();
    if (i >= numbers.count()) return;
    if constexpr (ToRow)
      row[i] = convert<C>(numbers[i]);
    else
      numbers[i] = convert<U>(row[i]);
  }
};

/// As on the host, through a row in the device's memory.
template <class C, device_backend Device, class ForEach>
std::vector<C> read_numbers(const Device& gpu, ForEach&& for_each) {
  index_t count = 0;
  for_each([&](const auto& x) { count += x.count(); });
  std::vector<C> all(static_cast<std::size_t>(count));
  const auto row = own_scratch(gpu, all.size() * sizeof(C));
  C* next = reinterpret_cast<C*>(row.get());
  for_each([&]<class U>(const strided_numbers<U>& x) {
    launch(gpu, pack_numbers<C, U, true>{x, next});
    next += x.count();
  });
  copy_to_host(gpu, all.data(), row.get(), all.size() * sizeof(C));
  wait_for(gpu);
  return all;
}
template <device_backend Device, class C, class ForEach>
void write_numbers(const Device& gpu, const std::vector<C>& all, ForEach&& for_each) {
  const auto row = own_scratch(gpu, all.size() * sizeof(C));
  copy_to_device(gpu, row.get(), all.data(), all.size() * sizeof(C));
  C* next = reinterpret_cast<C*>(row.get());
  for_each([&]<class U>(const strided_numbers<U>& x) {
    launch(gpu, pack_numbers<C, U, false>{x, next});
    next += x.count();
  });
  wait_for(gpu);  // `all` may go
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
