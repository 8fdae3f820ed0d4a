#include "ranks.hpp"

#include <mpi.h>

#include <cstdlib>

namespace char_lm {
namespace {

// A single thread talks to other ranks.
class mpi_ranks final : public ranks {
 public:
  mpi_ranks(int& argc, char**& argv) {
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(all_, &own_);
    MPI_Comm_size(all_, &count_);
  }
  ~mpi_ranks() override {
    if (mine_ != MPI_COMM_NULL) MPI_Comm_free(&mine_);
    MPI_Finalize();
  }

  int own() const override { return own_; }
  int count() const override { return count_; }
  void share_sequences(int a_sequence) override {
    a_sequence_ = a_sequence;
    MPI_Comm_split(all_, group(), place(), &mine_);
  }
  const void* communicator() const override { return &mine_; }

  void sum(std::span<double> x) const override {
    const auto size = static_cast<int>(x.size());
    std::vector<double> of_all(x.size() * static_cast<std::size_t>(count_));
    MPI_Allgather(x.data(), size, MPI_DOUBLE, of_all.data(), size, MPI_DOUBLE, all_);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = of_all[i];
      for (std::size_t at = i + x.size(); at < of_all.size(); at += x.size()) x[i] += of_all[at];
    }
  }
  std::int64_t largest(std::int64_t x) const override {
    MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_INT64_T, MPI_MAX, all_);
    return x;
  }
  void broadcast(int from, std::span<std::byte> x) const override {
    MPI_Bcast(x.data(), static_cast<int>(x.size()), MPI_BYTE, from, all_);
  }
  void send(int to, std::span<const float> x) const override {
    MPI_Send(x.data(), static_cast<int>(x.size()), MPI_FLOAT, to, tag, all_);
  }
  void receive(int from, std::span<float> x) const override {
    MPI_Recv(x.data(), static_cast<int>(x.size()), MPI_FLOAT, from, tag, all_, MPI_STATUS_IGNORE);
  }
  void pass(bool to_next, std::span<const float> x, std::span<float> from) const override {
    const int next = place() + 1 < a_sequence_ ? place() + 1 : MPI_PROC_NULL;
    const int last = place() > 0 ? place() - 1 : MPI_PROC_NULL;
    MPI_Sendrecv(x.data(), static_cast<int>(x.size()), MPI_FLOAT, to_next ? next : last, tag,
                 from.data(), static_cast<int>(from.size()), MPI_FLOAT, to_next ? last : next, tag,
                 mine_, MPI_STATUS_IGNORE);
  }
  [[noreturn]] void abort(int code) const override {
    MPI_Abort(all_, code);
    std::abort();
  }

 private:
  static constexpr int tag = 1;
  const MPI_Comm all_ = MPI_COMM_WORLD;
  MPI_Comm mine_ = MPI_COMM_NULL;
  int own_ = 0, count_ = 1;
};

}  // namespace

// MPI_Init of a program that runs alone would only cost time, and what mpirun leaves behind in the
// environment says that it does not.
std::unique_ptr<ranks> ranks::join(int& argc, char**& argv) {
  for (const char* const name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"})
    if (std::getenv(name) != nullptr) return std::make_unique<mpi_ranks>(argc, argv);
  return nullptr;
}

}  // namespace char_lm
