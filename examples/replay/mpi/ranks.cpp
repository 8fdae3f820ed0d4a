#include "ranks.hpp"

#include <mpi.h>

#include <cstdlib>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan_calls.hpp>

#include "device_calls/formats.hpp"
#include "device_calls/kernels.hpp"
#include "device_calls/run_call.hpp"
#include "host.hpp"

namespace replay {
namespace {

using gatescan::bf16, gatescan::half, gatescan::wide;

template <class R, class T>
void run_on_ranks(const device_calls::call& c, void* place, std::span<std::byte> scratch) {
  auto where = *static_cast<const gatescan::sequence_parallel<>*>(place);
  where.backend.threads = c.threads;
  const gatescan::scan mode{c.segments};
  const auto in = device_calls::inputs_of<typename R::template inputs<T>>(c);
  using results = typename R::template outputs<T>;
  using result_gradients = typename R::template output_gradients<T>;
  if (c.gradients.empty())
    gatescan::forward(where, mode, in, device_calls::results_of<R, results>(c), {scratch});
  else
    gatescan::backward(where, mode, in, device_calls::results_of<R, result_gradients>(c),
                       device_calls::gradients_of<R, typename R::template gradients<T>>(c),
                       {scratch});
}
template <class R, class... T>
void add(device_calls::table& to) {
  (to.insert({{R::name, device_calls::format_name<T>()}, {nullptr, run_on_ranks<R, T>}}), ...);
}
template <class... R>
device_calls::table compute_each(gatescan::type_list<R...>) {
  device_calls::table all;
  (add<R, double, float, bf16, half, wide<float>, wide<bf16>, wide<half>>(all), ...);
  return all;
}

class host_of_rank final : public host {
 public:
  host_of_rank(MPI_Comm comm, bool continues) : place_{.comm = comm, .continues = continues} {}

  const device_calls::computation& find(const std::string& recurrence,
                                        const std::string& format) const override {
    static const auto all = compute_each(gatescan::all_recurrences{});
    return all.at({recurrence, format});
  }
  void* stream() const override { return &place_; }

 private:
  mutable gatescan::sequence_parallel<> place_;
};

// A single thread talks to other ranks.
class mpi_ranks final : public ranks {
 public:
  mpi_ranks(int& argc, char**& argv) {
    int provided = 0;
    MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_rank(comm, &own_);
    MPI_Comm_size(comm, &count_);
  }
  ~mpi_ranks() override { MPI_Finalize(); }

  int own() const override { return own_; }
  int count() const override { return count_; }
  std::unique_ptr<device_calls::device> place(bool continues) const override {
    return std::make_unique<host_of_rank>(comm, continues);
  }
  int least(int own) const override {
    MPI_Allreduce(MPI_IN_PLACE, &own, 1, MPI_INT, MPI_MIN, comm);
    return own;
  }
  void broadcast(int from, std::string& text) const override {
    int size = static_cast<int>(text.size());
    MPI_Bcast(&size, 1, MPI_INT, from, comm);
    text.resize(static_cast<std::size_t>(size));
    MPI_Bcast(text.data(), size, MPI_CHAR, from, comm);
  }
  void send(int to, std::span<const std::byte> bytes) const override {
    MPI_Send(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, tag, comm);
  }
  void receive(int from, std::span<std::byte> bytes) const override {
    MPI_Recv(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, from, tag, comm,
             MPI_STATUS_IGNORE);
  }
  [[noreturn]] void abort(int code) const override {
    MPI_Abort(comm, code);
    std::abort();
  }

 private:
  static constexpr int tag = 1;
  const MPI_Comm comm = MPI_COMM_WORLD;
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

}  // namespace replay
