#pragma once
// What the ranks of a communicator say to each other in one call: first once, all of them, whether
// they can begin and on what; then states, each to the next; at the end sums of shared gradients.

#include <mpi.h>

#if defined(OPEN_MPI) && __has_include(<mpi-ext.h>)
#include <mpi-ext.h>
#endif

#include <algorithm>
#include <limits>
#include <string>
#include <vector>

#include "../core/error.hpp"
#include "../core/neighbours.hpp"
#include "../core/view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Whether MPI says that it sends and receives what lies in a device's memory.
inline bool mpi_takes_device_memory() {
#if defined(MPIX_CUDA_AWARE_SUPPORT)
  return MPIX_Query_cuda_support() == 1;
#else
  return false;
#endif
}

/// A rank's place in a communicator, and messages to others. Messages of a call have one tag.
class ranks {
 public:
  explicit ranks(MPI_Comm comm) : comm_(comm) {
    MPI_Comm_rank(comm, &own_);
    MPI_Comm_size(comm, &count_);
  }
  int own() const { return own_; }
  int count() const { return count_; }

  void send(int to, const void* data, std::size_t bytes) const {
    in_parts(bytes, [&](std::size_t at, int some) {
      MPI_Send(static_cast<const char*>(data) + at, some, MPI_BYTE, to, tag, comm_);
    });
  }
  /// Requests of what leaves later: `data` stays where it is until then.
  void begin_to_send(int to, const void* data, std::size_t bytes,
                     std::vector<MPI_Request>& leaving) const {
    in_parts(bytes, [&](std::size_t at, int some) {
      MPI_Isend(static_cast<const char*>(data) + at, some, MPI_BYTE, to, tag, comm_,
                &leaving.emplace_back());
    });
  }
  static void wait(std::vector<MPI_Request>& leaving) {
    MPI_Waitall(static_cast<int>(leaving.size()), leaving.data(), MPI_STATUSES_IGNORE);
    leaving.clear();
  }
  void receive(int from, void* data, std::size_t bytes) const {
    in_parts(bytes, [&](std::size_t at, int some) {
      MPI_Recv(static_cast<char*>(data) + at, some, MPI_BYTE, from, tag, comm_, MPI_STATUS_IGNORE);
    });
  }
  void broadcast(int from, void* data, std::size_t bytes) const {
    in_parts(bytes, [&](std::size_t at, int some) {
      MPI_Bcast(static_cast<char*>(data) + at, some, MPI_BYTE, from, comm_);
    });
  }
  /// [rank][number] of what every rank has.
  std::vector<index_t> gather(const std::vector<index_t>& mine) const {
    std::vector<index_t> all(mine.size() * static_cast<std::size_t>(count_));
    const int n = static_cast<int>(mine.size());
    MPI_Allgather(mine.data(), n, MPI_INT64_T, all.data(), n, MPI_INT64_T, comm_);
    return all;
  }
  /// x becomes the sum of all ranks' x, added in the order of ranks.
  template <class C>
  void sum(std::vector<C>& x) const {
    const std::size_t bytes = x.size() * sizeof(C);
    if (own_ > 0) {
      std::vector<C> before(x.size());
      receive(own_ - 1, before.data(), bytes);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] = before[i] + x[i];
    }
    if (own_ + 1 < count_) send(own_ + 1, x.data(), bytes);
    broadcast(count_ - 1, x.data(), bytes);
  }

 private:
  static constexpr int tag = 29547;

  template <class F>
  static void in_parts(std::size_t bytes, F&& f) {
    constexpr std::size_t most = (std::numeric_limits<int>::max)();
    for (std::size_t at = 0; at < bytes; at += most)
      f(at, static_cast<int>((std::min)(bytes - at, most)));
  }

  MPI_Comm comm_;
  int own_ = 0, count_ = 1;
};

/// What a rank has caught before it wrote anything.
struct failure {
  enum kinds : index_t { none, shape, memory, argument, other };
  index_t kind = none;
  std::string message{};

  template <class F>
  static failure of(F&& f) {
#if defined(__cpp_exceptions)
    try {
      f();
    } catch (const shape_error& e) {
      return {shape, e.what()};
    } catch (const workspace_error& e) {
      return {memory, e.what()};
    } catch (const std::invalid_argument& e) {
      return {argument, e.what()};
    } catch (const std::exception& e) {
      return {other, e.what()};
    }
#else
    f();
#endif
    return {};
  }
  [[noreturn]] void raise() const {
    if (kind == shape) fail<shape_error>(message);
    if (kind == memory) fail<workspace_error>(message);
    if (kind == argument) fail<std::invalid_argument>(message);
    fail<std::runtime_error>(message);
  }
  /// On all ranks, as `rank` has it.
  [[noreturn]] void raise_everywhere(const ranks& all, int rank) const {
    failure same = *this;
    index_t said[] = {kind, static_cast<index_t>(message.size())};
    all.broadcast(rank, said, sizeof said);
    same.kind = said[0];
    same.message.resize(static_cast<std::size_t>(said[1]));
    all.broadcast(rank, same.message.data(), same.message.size());
    same.message = "rank " + std::to_string(rank) + ": " + same.message;
    same.raise();
  }
};

/// The ways of a piece's states to the nearest ranks that have tokens.
struct path {
  const ranks* all = nullptr;
  int before = 0, after = 0, last = 0;  // ranks that have tokens
  neighbours beside{};
  bool nobody_has_tokens = false;
  std::vector<MPI_Request> leaving{};

  int rank_of(side x) const { return x == side::before ? before : after; }
  /// Where `beside` finds its context: this stays where it is.
  void connect(const ranks& between) {
    all = &between;
    beside.context = this;
    beside.receive = [](void* here, side from, void* data, std::size_t bytes) {
      const path& p = *static_cast<const path*>(here);
      p.all->receive(p.rank_of(from), data, bytes);
    };
    beside.send = [](void* here, side to, const void* data, std::size_t bytes) {
      path& p = *static_cast<path*>(here);
      p.all->begin_to_send(p.rank_of(to), data, bytes, p.leaving);
    };
    beside.settle = [](void* here) { ranks::wait(static_cast<path*>(here)->leaving); };
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
