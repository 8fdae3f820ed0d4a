#pragma once
// What the threads of a block do together on a GPU, by CUB: runs of numbers loaded and stored
// through a transpose of each warp's, scans and sums over the block. The only file that knows CUB.
// Orders are CUB's own: the same bits every run on one architecture and toolkit.

#include <cub/block/block_exchange.cuh>
#include <cub/block/block_load.cuh>
#include <cub/block/block_reduce.cuh>
#include <cub/block/block_scan.cuh>
#include <cub/block/block_store.cuh>

#include "../../core/macros.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace collectives {

// Shared memory of their own, beside what a program asks for: one room of a kind in a kernel. In a
// transpose each warp has its own part of it; what the whole block reads is free once all have come
// again.
template <class Room>
__device__ Room& room() {
  __shared__ Room here;
  return here;
}
template <int Threads, class X, int Count>
struct transposes {
  using loads = cub::BlockLoad<X, Threads, Count, cub::BLOCK_LOAD_WARP_TRANSPOSE>;
  using stores = cub::BlockStore<X, Threads, Count, cub::BLOCK_STORE_WARP_TRANSPOSE>;
  union either {
    typename loads::TempStorage of_loads;
    typename stores::TempStorage of_stores;
  };
};

template <int Threads, class X, int Count, class From>
__device__ void load(const From& from, int numbers, X (&to)[Count]) {
  using of = transposes<Threads, X, Count>;
  typename of::loads loads(room<typename of::either>().of_loads);
  __syncwarp();
  if (numbers >= Threads * Count)
    loads.Load(from, to);
  else
    loads.Load(from, to, numbers, X{});
}
template <int Threads, class X, int Count, class To>
__device__ void store(const To& to, int numbers, X (&from)[Count]) {
  using of = transposes<Threads, X, Count>;
  typename of::stores stores(room<typename of::either>().of_stores);
  __syncwarp();
  if (numbers >= Threads * Count)
    stores.Store(to, from);
  else
    stores.Store(to, from, numbers);
}
template <int Threads, class X, class Op>
__device__ X exclusive_scan(const X& own, const X& identity, X& total, const Op& op) {
  using scans = cub::BlockScan<X, Threads, cub::BLOCK_SCAN_WARP_SCANS>;
  X before;
  __syncthreads();
  scans(room<typename scans::TempStorage>()).ExclusiveScan(own, before, op, total);
  return threadIdx.x == 0 ? identity : before;
}
// threads in the other order: what the last one has goes to the first, and back
template <int Threads, class X, class Op>
__device__ X exclusive_scan_back(const X& own, const X& identity, X& total, const Op& op) {
  using exchanges = cub::BlockExchange<X, Threads, 1>;
  const auto turned = [](const X& x) {
    X from[1] = {x}, to[1];
    int place[1] = {Threads - 1 - static_cast<int>(threadIdx.x)};
    __syncthreads();
    exchanges(room<typename exchanges::TempStorage>()).ScatterToBlocked(from, to, place);
    return to[0];
  };
  return turned(exclusive_scan<Threads>(turned(own), identity, total, op));
}
template <int Threads, class X, class Op>
__device__ X sum(const X& own, const Op& op) {
  using sums = cub::BlockReduce<X, Threads, cub::BLOCK_REDUCE_WARP_REDUCTIONS>;
  __syncthreads();
  return sums(room<typename sums::TempStorage>()).Reduce(own, op);
}

}  // namespace collectives
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
