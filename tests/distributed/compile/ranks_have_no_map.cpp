// The map has a number for every pair of tokens, and no rank has both of all pairs.
// says: attention_map needs all tokens in one place
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/gatescan.hpp>

int main() {
  const float one = 1;
  float map = 0;
  const gatescan::view<const float> x{&one, {1, 1, 1, 1}};
  const gatescan::view<float> result{&map, {1, 1, 1, 1}};
  const gatescan::gla::inputs<float> in{.q = x, .k = x, .v = x, .log_decay = x};
  gatescan::attention_map(gatescan::cpu{}, in, result);
#ifdef GATESCAN_WRONG
  gatescan::attention_map(gatescan::sequence_parallel<>{MPI_COMM_WORLD}, in, result);
#endif
}
