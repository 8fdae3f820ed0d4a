#include "ranks.hpp"

#include "../../mpi/program_of_ranks.hpp"

namespace char_lm {
namespace {

class mpi_ranks final : public mpi::program_of_ranks<ranks> {
 public:
  using program_of_ranks::program_of_ranks;
  ~mpi_ranks() override {
    if (mine_ != MPI_COMM_NULL) MPI_Comm_free(&mine_);
  }

  void share_sequences(int a_sequence) override {
    a_sequence_ = a_sequence;
    MPI_Comm_split(all, group(), place(), &mine_);
  }
  const void* communicator() const override { return &mine_; }

  void sum(std::span<double> x) const override {
    const auto size = static_cast<int>(x.size());
    std::vector<double> of_all(x.size() * static_cast<std::size_t>(count()));
    MPI_Allgather(x.data(), size, MPI_DOUBLE, of_all.data(), size, MPI_DOUBLE, all);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = of_all[i];
      for (std::size_t at = i + x.size(); at < of_all.size(); at += x.size()) x[i] += of_all[at];
    }
  }
  std::int64_t largest(std::int64_t x) const override {
    MPI_Allreduce(MPI_IN_PLACE, &x, 1, MPI_INT64_T, MPI_MAX, all);
    return x;
  }
  void broadcast(int from, std::span<std::byte> x) const override {
    MPI_Bcast(x.data(), static_cast<int>(x.size()), MPI_BYTE, from, all);
  }
  void send(int to, std::span<const float> x) const override {
    MPI_Send(x.data(), static_cast<int>(x.size()), MPI_FLOAT, to, tag, all);
  }
  void receive(int from, std::span<float> x) const override {
    MPI_Recv(x.data(), static_cast<int>(x.size()), MPI_FLOAT, from, tag, all, MPI_STATUS_IGNORE);
  }
  void pass(bool to_next, std::span<const float> x, std::span<float> from) const override {
    const int next = place() + 1 < a_sequence_ ? place() + 1 : MPI_PROC_NULL;
    const int last = place() > 0 ? place() - 1 : MPI_PROC_NULL;
    MPI_Sendrecv(x.data(), static_cast<int>(x.size()), MPI_FLOAT, to_next ? next : last, tag,
                 from.data(), static_cast<int>(from.size()), MPI_FLOAT, to_next ? last : next, tag,
                 mine_, MPI_STATUS_IGNORE);
  }

 private:
  MPI_Comm mine_ = MPI_COMM_NULL;
};

}  // namespace

std::unique_ptr<ranks> ranks::join(int& argc, char**& argv) {
  return mpi::join<mpi_ranks>(argc, argv);
}

}  // namespace char_lm
