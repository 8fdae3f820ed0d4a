// One rank of several dies in the middle of a call, or before it: MPI ends all of them, and nobody
// waits for states that will not come.
//
//   mpirun -n 3 lost_rank before|within
#include <mpi.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/gatescan.hpp>
#include <string>
#include <thread>
#include <vector>

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  const bool within = argc > 1 && std::string(argv[1]) == "within";
  if (rank == 1) {
    std::puts("rank 1 dies on purpose");
    std::fflush(stdout);
    if (!within) std::_Exit(3);
    std::thread([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      std::_Exit(3);
    }).detach();
  }
  const gatescan::layout all{1, 2000, 1, 16};
  const std::vector<float> x(2000 * 16, 0.01f);
  std::vector<float> out(x.size());
  const gatescan::view<const float> in{x.data(), all};
  do
    gatescan::forward(gatescan::sequence_parallel<>{MPI_COMM_WORLD, {.threads = 1}},
                      gatescan::scan{},
                      gatescan::gla::inputs<float>{.q = in, .k = in, .v = in, .log_decay = in},
                      {.out = {out.data(), all}});
  while (within);
  std::puts("a rank came back");
  MPI_Finalize();
}
