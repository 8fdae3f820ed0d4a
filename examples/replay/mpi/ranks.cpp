#include "ranks.hpp"

#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan_calls.hpp>

#include "../../mpi/program_of_ranks.hpp"
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

class mpi_ranks final : public mpi::program_of_ranks<ranks> {
 public:
  using program_of_ranks::program_of_ranks;
  std::unique_ptr<device_calls::device> place(bool continues) const override {
    return std::make_unique<host_of_rank>(all, continues);
  }
  int least(int own) const override {
    MPI_Allreduce(MPI_IN_PLACE, &own, 1, MPI_INT, MPI_MIN, all);
    return own;
  }
  void broadcast(int from, std::string& text) const override {
    int size = static_cast<int>(text.size());
    MPI_Bcast(&size, 1, MPI_INT, from, all);
    text.resize(static_cast<std::size_t>(size));
    MPI_Bcast(text.data(), size, MPI_CHAR, from, all);
  }
  void send(int to, std::span<const std::byte> bytes) const override {
    MPI_Send(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, to, tag, all);
  }
  void receive(int from, std::span<std::byte> bytes) const override {
    MPI_Recv(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, from, tag, all,
             MPI_STATUS_IGNORE);
  }
};

}  // namespace

std::unique_ptr<ranks> ranks::join(int& argc, char**& argv) {
  return mpi::join<mpi_ranks>(argc, argv);
}

}  // namespace replay
