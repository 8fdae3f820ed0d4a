// One sequence over all ranks: every rank makes and keeps its own tokens only.
//
//   mpirun -n 3 example_09_several_machines
//
// The ranks are the place of the call; all else is as on one machine. Pieces may be of any size:
// here rank r has 1000 + 500 r tokens. The decays are parameters, one a head; their gradient is, on
// every rank, the sum over all tokens. The state after the last token goes to all ranks, so that
// any of them can stream on from there.
#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/gatescan.hpp>
#include <vector>

using gatescan::gla, gatescan::index_t;

constexpr index_t H = 2, K = 8, V = 16;

// What token t holds, wherever it lies.
std::vector<double> tokens(index_t first, index_t count, index_t row, double speed) {
  std::vector<double> x(static_cast<std::size_t>(count * row));
  for (index_t i = 0; i < count * row; ++i)
    x[static_cast<std::size_t>(i)] = std::sin(speed * static_cast<double>(first * row + i));
  return x;
}

struct results {
  std::vector<double> out, state = std::vector<double>(H * K * V);
  std::vector<double> d_decay = std::vector<double>(H);
};
template <class Place>
results run(const Place& place, index_t first, index_t count) {
  const auto q = tokens(first, count, H * K, 0.7), k = tokens(first, count, H * K, 0.3);
  const auto v = tokens(first, count, H * V, 0.11), d_out = tokens(first, count, H * V, 0.5);
  const std::vector<double> decay{-0.01, -0.1};
  const gla::inputs<double> in{.q = {q.data(), {1, count, H, K}},
                               .k = {k.data(), {1, count, H, K}},
                               .v = {v.data(), {1, count, H, V}},
                               .log_decay = {decay.data(), {1, count, H, 1}, {0, 0, 1, 0}}};
  results r{.out = std::vector<double>(v.size())};
  gatescan::forward(
      place, gatescan::scan{}, in,
      {.out = {r.out.data(), {1, count, H, V}}, .final_state = {r.state.data(), {1, H, K, V}}});
  gatescan::backward(place, gatescan::scan{}, in, {.out = {d_out.data(), {1, count, H, V}}},
                     {.log_decay = {r.d_decay.data(), {1, count, H, 1}, {0, 0, 1, 0}}});
  return r;
}

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank = 0, ranks = 1;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const auto begin_of = [](index_t r) { return 1000 * r + 500 * r * (r - 1) / 2; };
  const index_t first = begin_of(rank), count = begin_of(rank + 1) - first, L = begin_of(ranks);

  const gatescan::sequence_parallel<> place{.comm = MPI_COMM_WORLD, .final_state_everywhere = true};
  const results mine = run(place, first, count);

  // No rank needs all tokens; here each makes them, to see that it has its part of the whole.
  const results whole = run(gatescan::cpu{}, 0, L);
  double worst = 0;
  for (std::size_t i = 0; i < mine.out.size(); ++i)
    worst = std::max(
        worst, std::abs(mine.out[i] - whole.out[static_cast<std::size_t>(first * H * V) + i]));
  for (std::size_t i = 0; i < whole.state.size(); ++i)
    worst = std::max(worst, std::abs(mine.state[i] - whole.state[i]));
  for (std::size_t h = 0; h < H; ++h)
    worst = std::max(worst, std::abs(mine.d_decay[h] / whole.d_decay[h] - 1));
  std::printf("rank %d of %d: tokens %lld to %lld of %lld, worst difference from the whole %.1e\n",
              rank, ranks, static_cast<long long>(first), static_cast<long long>(first + count),
              static_cast<long long>(L), worst);
  MPI_Finalize();
  return worst < 1e-10 ? 0 : 1;
}
