// What every program does that mpirun starts several of: MPI's begin and end round it, its place
// among the others, and the end of all.
#pragma once

#include <mpi.h>

#include <cstdlib>
#include <memory>

namespace mpi {

/// Ranks: the program's own interface, which has own(), count() and abort(code).
template <class Ranks>
class program_of_ranks : public Ranks {
 public:
  // A single thread talks to other ranks.
  program_of_ranks(int& argc, char**& argv) {
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(all, &own_);
    MPI_Comm_size(all, &count_);
  }
  program_of_ranks(const program_of_ranks&) = delete;
  ~program_of_ranks() override { MPI_Finalize(); }

  int own() const override { return own_; }
  int count() const override { return count_; }
  [[noreturn]] void abort(int code) const override {
    MPI_Abort(all, code);
    std::abort();
  }

 protected:
  static constexpr int tag = 1;
  const MPI_Comm all = MPI_COMM_WORLD;

 private:
  int own_ = 0, count_ = 1;
};

/// Null where the program runs alone. MPI_Init would only cost time then, and what mpirun leaves
/// behind in the environment says that it does not.
template <class Program>
std::unique_ptr<Program> join(int& argc, char**& argv) {
  for (const char* const name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK", "PMI_SIZE"})
    if (std::getenv(name) != nullptr) return std::make_unique<Program>(argc, argv);
  return nullptr;
}

}  // namespace mpi
