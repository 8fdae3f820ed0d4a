// Ranks that have a CUDA device each: compiled and linked wherever nvcc and MPI are. Run without
// operands, all ranks say that those are missing.
#include <gatescan/distributed/sequence_parallel_cuda.cuh>
#include <gatescan/gatescan_cuda.cuh>

namespace {

template <class R>
void call(MPI_Comm comm, const typename R::template inputs<gatescan::device<float>>& in) {
  using gatescan::sequence_parallel, gatescan::cuda;
  const gatescan::workspace scratch{};
  const sequence_parallel ranks{comm, cuda{}};
  gatescan::forward(ranks, gatescan::scan{}, in, {}, scratch);
  gatescan::forward(ranks, gatescan::chunked{}, in, {}, scratch);
  gatescan::backward(ranks, gatescan::automatic{}, in, {}, {}, scratch);
  (void)gatescan::workspace_bytes(ranks, gatescan::scan{}, in);
  (void)gatescan::workspace_bytes(ranks, gatescan::scan{}, in, {});
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int code = 0;
  try {
    call<gatescan::gla>(MPI_COMM_WORLD, {});
    call<gatescan::elementwise>(MPI_COMM_WORLD, {});
    call<gatescan::gated_delta_net>(MPI_COMM_WORLD, {});
  } catch (const gatescan::shape_error&) {
    code = 3;  // there are no operands
  }
  MPI_Finalize();
  return code;
}
