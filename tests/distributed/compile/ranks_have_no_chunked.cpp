// Ranks cut time into pieces: of modes they have scan, and say so.
// says: sequence_parallel cuts time into pieces: it runs scan{} (or automatic{}
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/gatescan.hpp>

int main() {
  const float one = 1;
  float out = 0;
  const gatescan::view<const float> x{&one, {1, 1, 1, 1}};
  const gatescan::view<float> result{&out, {1, 1, 1, 1}};
  const gatescan::gla::inputs<float> in{.q = x, .k = x, .v = x, .log_decay = x};
  const gatescan::sequence_parallel<> ranks{MPI_COMM_WORLD};
  gatescan::forward(ranks, gatescan::automatic{}, in, {.out = result});
#ifdef GATESCAN_WRONG
  gatescan::forward(ranks, gatescan::chunked{}, in, {.out = result});
#endif
}
