// Efficiency of a sequence over the ranks of MPI, one thread each:
//
//   mpirun -n 2 bench_distributed [tokens]
//
// Every rank has an equal piece. One rank does the whole alone, by turns with all of them: in scan
// mode, and in the mode that `automatic` takes. Results are compared first, and the time of a wrong
// one is not taken. Times are medians.
#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/gatescan.hpp>
#include <vector>

namespace {

using gatescan::index_t;
using numbers = std::vector<float>;

int rank = 0, ranks = 1;

numbers waves(index_t first, index_t count, index_t row, float low, float high, unsigned seed) {
  numbers x(static_cast<std::size_t>(count * row));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto at = static_cast<std::uint64_t>(first * row) + i + seed;
    const std::uint64_t mixed = (at * 0x9e3779b97f4a7c15u) >> 40;
    x[i] = low + (high - low) * static_cast<float>(mixed) / static_cast<float>(1 << 24);
  }
  return x;
}

struct gla_row {
  static constexpr const char* name = "gla, K = V = 128, H 8";
  static constexpr index_t H = 8, K = 128, values = H * K;
  numbers q, k, v, decay;
  gla_row(index_t first, index_t n)
      : q(waves(first, n, values, -0.1f, 0.1f, 1)),
        k(waves(first, n, values, -0.1f, 0.1f, 2)),
        v(waves(first, n, values, -1, 1, 3)),
        decay(waves(first, n, values, -0.1f, -0.001f, 4)) {}
  void forward(const auto& place, const auto& mode, index_t n, numbers& out) const {
    const gatescan::layout all{1, n, H, K};
    gatescan::forward(place, mode,
                      gatescan::gla::inputs<float>{.q = {q.data(), all},
                                                   .k = {k.data(), all},
                                                   .v = {v.data(), all},
                                                   .log_decay = {decay.data(), all}},
                      {.out = {out.data(), all}});
  }
};
struct elementwise_row {
  static constexpr const char* name = "elementwise, D 512, real";
  static constexpr index_t values = 512;
  numbers a, v;
  elementwise_row(index_t first, index_t n)
      : a(waves(first, n, values, 0.9f, 0.999f, 5)), v(waves(first, n, values, -1, 1, 6)) {}
  void forward(const auto& place, const auto& mode, index_t n, numbers& out) const {
    const gatescan::layout all{1, n, 1, values};
    gatescan::elementwise::inputs<float> in;
    in.a = gatescan::complex_view<const float>{a.data(), nullptr, all};
    in.x = gatescan::complex_view<const float>{v.data(), nullptr, all};
    gatescan::elementwise::outputs<float> to;
    to.out = gatescan::complex_view<float>{out.data(), nullptr, all};
    gatescan::forward(place, mode, in, to);
  }
};

double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x[x.size() / 2];
}
template <class F>
double seconds(F&& f) {
  MPI_Barrier(MPI_COMM_WORLD);
  const double begin = MPI_Wtime();
  f();
  MPI_Barrier(MPI_COMM_WORLD);
  return MPI_Wtime() - begin;
}

template <class Row>
bool measure(index_t tokens) {
  const index_t n = tokens / ranks, L = n * ranks;
  const Row piece(rank * n, n);
  numbers out(static_cast<std::size_t>(n * Row::values));
  const gatescan::cpu one{.threads = 1};
  const gatescan::sequence_parallel all{.comm = MPI_COMM_WORLD, .backend = one};
  const auto together = [&] { piece.forward(all, gatescan::scan{}, n, out); };
  const Row whole(0, rank == 0 ? L : 0);
  numbers expected(static_cast<std::size_t>(rank == 0 ? L * Row::values : 0));
  const auto alone = [&](const auto& mode) {
    if (rank == 0) whole.forward(one, mode, L, expected);
  };

  together();
  alone(gatescan::scan{});
  double worst = 0;
  numbers theirs(out.size());
  for (int r = 0; r < ranks; ++r) {
    if (r == 0) theirs = out;
    if (r > 0 && rank == r)
      MPI_Send(out.data(), static_cast<int>(out.size()), MPI_FLOAT, 0, 1, MPI_COMM_WORLD);
    if (rank != 0) continue;
    if (r > 0)
      MPI_Recv(theirs.data(), static_cast<int>(theirs.size()), MPI_FLOAT, r, 1, MPI_COMM_WORLD,
               MPI_STATUS_IGNORE);
    for (std::size_t i = 0; i < theirs.size(); ++i)
      worst = std::max(
          worst, static_cast<double>(
                     std::abs(theirs[i] - expected[static_cast<std::size_t>(r) * out.size() + i])));
  }
  MPI_Bcast(&worst, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  if (!(worst < 1e-3)) {
    if (rank == 0) std::printf("%s: wrong by %.1e\n", Row::name, worst);
    return false;
  }

  std::vector<double> of_all, in_scan, in_best;
  for (int i = 0; i < 5; ++i) {
    of_all.push_back(seconds(together));
    in_scan.push_back(seconds([&] { alone(gatescan::scan{}); }));
    in_best.push_back(seconds([&] { alone(gatescan::automatic{}); }));
  }
  const double t = median(of_all), scan = median(in_scan), best = median(in_best);
  if (rank == 0)
    std::printf(
        "%s, L %lld: %d ranks %.1f ms; one in scan %.1f ms (efficiency %.2f), in automatic %.1f "
        "ms (%.2f)\n",
        Row::name, static_cast<long long>(L), ranks, 1e3 * t, 1e3 * scan, scan / (t * ranks),
        1e3 * best, best / (t * ranks));
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const index_t tokens = argc > 1 ? std::atoll(argv[1]) : 1 << 15;
  const bool right = measure<gla_row>(tokens) && measure<elementwise_row>(tokens);
  MPI_Finalize();
  return right ? 0 : 1;
}
