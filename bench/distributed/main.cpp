// Efficiency of a sequence over the ranks of MPI, one thread each:
//
//   mpirun -n 2 bench_distributed [row [direction [tokens [repetitions]]]]
//
// row: gla, selective_scan, gated_delta_net, elementwise or exchange, the first two also with _slow
// for gates that hardly forget; direction: forward or backward. Every rank has an equal piece. One
// rank does the whole alone, by turns with all of them: in scan mode, and in the mode that
// `automatic` takes. Results are compared first, and the time of a wrong one is not taken. Times
// are medians. `exchange`: what states take from rank to rank, and an exclusive scan of summaries
// over all ranks (MPI_Exscan), by size.
#include <mpi.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <gatescan/distributed/sequence_parallel.hpp>
#include <gatescan/gatescan.hpp>
#include <string>
#include <vector>

namespace {

using gatescan::index_t, gatescan::layout;
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
numbers zeros(index_t count) { return numbers(static_cast<std::size_t>(count)); }

/// Operands of tokens [first, first + n), of which a call takes the first ones. `results`: where a
/// direction leaves what is compared, a row a token.
template <bool Slow>
struct gla_row {
  static constexpr const char* name =
      Slow ? "gla, K = V = 128, H 4, slow gates" : "gla, K = V = 128, H 4";
  static constexpr index_t H = 4, K = 128, values = H * K;
  numbers q, k, v, decay, d_out, out, dq, dk, dv, d_decay;
  gla_row(index_t first, index_t n, bool backward)
      : q(waves(first, n, values, -0.1f, 0.1f, 1)),
        k(waves(first, n, values, -0.1f, 0.1f, 2)),
        v(waves(first, n, values, -1, 1, 3)),
        decay(waves(first, n, values, Slow ? -1e-4f : -0.1f, Slow ? -1e-6f : -0.001f, 4)),
        d_out(backward ? waves(first, n, values, -1, 1, 5) : numbers{}),
        out(zeros(backward ? 0 : n * values)),
        dq(zeros(backward ? n * values : 0)),
        dk(dq),
        dv(dq),
        d_decay(dq) {}
  auto inputs(index_t n) const {
    const layout all{1, n, H, K};
    return gatescan::gla::inputs<float>{.q = {q.data(), all},
                                        .k = {k.data(), all},
                                        .v = {v.data(), all},
                                        .log_decay = {decay.data(), all}};
  }
  const numbers& forward(const auto& place, const auto& mode, index_t n) {
    gatescan::forward(place, mode, inputs(n), {.out = {out.data(), {1, n, H, K}}});
    return out;
  }
  const numbers& backward(const auto& place, const auto& mode, index_t n) {
    const layout all{1, n, H, K};
    gatescan::backward(place, mode, inputs(n), {.out = {d_out.data(), all}},
                       {.q = {dq.data(), all},
                        .k = {dk.data(), all},
                        .v = {dv.data(), all},
                        .log_decay = {d_decay.data(), all}});
    return dk;
  }
};
template <bool Slow>
struct selective_scan_row {
  static constexpr const char* name =
      Slow ? "selective scan, D 1536, N 16, slow gates" : "selective scan, D 1536, N 16";
  static constexpr index_t values = 1536, N = 16;
  numbers u, delta, A, B, C, d_out, out, du, d_delta, dA, dB, dC;
  selective_scan_row(index_t first, index_t n, bool backward)
      : u(waves(first, n, values, -1, 1, 1)),
        delta(waves(first, n, values, 0.001f, 0.1f, 2)),
        A(waves(0, values, N, Slow ? -1e-3f : -16.0f, Slow ? -1e-4f : -1.0f, 3)),
        B(waves(first, n, N, -1, 1, 4)),
        C(waves(first, n, N, -1, 1, 5)),
        d_out(backward ? waves(first, n, values, -1, 1, 6) : numbers{}),
        out(zeros(backward ? 0 : n * values)),
        du(zeros(backward ? n * values : 0)),
        d_delta(du),
        dA(A),
        dB(B),
        dC(C) {}
  auto inputs(index_t n) const {
    return gatescan::selective_scan::inputs<float>{.u = {u.data(), {1, n, values}},
                                                   .delta = {delta.data(), {1, n, values}},
                                                   .A = {A.data(), {values, N}},
                                                   .B = {B.data(), {1, n, 1, N}},
                                                   .C = {C.data(), {1, n, 1, N}}};
  }
  const numbers& forward(const auto& place, const auto& mode, index_t n) {
    gatescan::forward(place, mode, inputs(n), {.out = {out.data(), {1, n, values}}});
    return out;
  }
  const numbers& backward(const auto& place, const auto& mode, index_t n) {
    gatescan::backward(place, mode, inputs(n), {.out = {d_out.data(), {1, n, values}}},
                       {.u = {du.data(), {1, n, values}},
                        .delta = {d_delta.data(), {1, n, values}},
                        .A = {dA.data(), {values, N}},
                        .B = {dB.data(), {1, n, 1, N}},
                        .C = {dC.data(), {1, n, 1, N}}});
    return d_delta;
  }
};
struct gated_delta_net_row {
  static constexpr const char* name = "gated delta net, K = V = 128, H 4";
  static constexpr index_t H = 4, K = 128, values = H * K;
  numbers q, k, v, beta, decay, d_out, out, dq, dk, dv, d_beta, d_decay;
  gated_delta_net_row(index_t first, index_t n, bool backward)
      : q(waves(first, n, values, -1, 1, 1)),
        k(waves(first, n, values, -1, 1, 2)),
        v(waves(first, n, values, -1, 1, 3)),
        beta(waves(first, n, H, 0, 1, 6)),
        decay(waves(first, n, values, -0.1f, -0.001f, 4)),
        d_out(backward ? waves(first, n, values, -1, 1, 5) : numbers{}),
        out(zeros(backward ? 0 : n * values)),
        dq(zeros(backward ? n * values : 0)),
        dk(dq),
        dv(dq),
        d_beta(beta),
        d_decay(dq) {}
  auto inputs(index_t n) const {
    const layout all{1, n, H, K};
    return gatescan::gated_delta_net::inputs<float>{.q = {q.data(), all},
                                                    .k = {k.data(), all},
                                                    .v = {v.data(), all},
                                                    .beta = {beta.data(), {1, n, H}},
                                                    .log_decay = {decay.data(), all},
                                                    .normalise = true};
  }
  const numbers& forward(const auto& place, const auto& mode, index_t n) {
    gatescan::forward(place, mode, inputs(n), {.out = {out.data(), {1, n, H, K}}});
    return out;
  }
  const numbers& backward(const auto& place, const auto& mode, index_t n) {
    const layout all{1, n, H, K};
    gatescan::backward(place, mode, inputs(n), {.out = {d_out.data(), all}},
                       {.q = {dq.data(), all},
                        .k = {dk.data(), all},
                        .v = {dv.data(), all},
                        .beta = {d_beta.data(), {1, n, H}},
                        .log_decay = {d_decay.data(), all}});
    return dk;
  }
};
struct elementwise_row {
  static constexpr const char* name = "elementwise, D 512, real";
  static constexpr index_t values = 512;
  numbers a, x, d_out, out, da, dx;
  elementwise_row(index_t first, index_t n, bool backward)
      : a(waves(first, n, values, 0.9f, 0.999f, 5)),
        x(waves(first, n, values, -1, 1, 6)),
        d_out(backward ? waves(first, n, values, -1, 1, 7) : numbers{}),
        out(zeros(backward ? 0 : n * values)),
        da(zeros(backward ? n * values : 0)),
        dx(da) {}
  auto inputs(index_t n) const {
    const layout all{1, n, 1, values};
    gatescan::elementwise::inputs<float> in;
    in.a = gatescan::complex_view<const float>{a.data(), nullptr, all};
    in.x = gatescan::complex_view<const float>{x.data(), nullptr, all};
    return in;
  }
  const numbers& forward(const auto& place, const auto& mode, index_t n) {
    gatescan::elementwise::outputs<float> to;
    to.out = gatescan::complex_view<float>{out.data(), nullptr, layout{1, n, 1, values}};
    gatescan::forward(place, mode, inputs(n), to);
    return out;
  }
  const numbers& backward(const auto& place, const auto& mode, index_t n) {
    const layout all{1, n, 1, values};
    gatescan::elementwise::output_gradients<float> given;
    given.out = gatescan::complex_view<const float>{d_out.data(), nullptr, all};
    gatescan::elementwise::gradients<float> to;
    to.a = gatescan::complex_view<float>{da.data(), nullptr, all};
    to.x = gatescan::complex_view<float>{dx.data(), nullptr, all};
    gatescan::backward(place, mode, inputs(n), given, to);
    return da;
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

// What all ranks have found against what one has, in parts of its largest number.
double worst_difference(const numbers& mine, std::size_t piece, const numbers& expected) {
  double worst = 0, largest = 0;
  numbers theirs(piece);
  for (int r = 0; r < ranks; ++r) {
    const int count = static_cast<int>(piece);
    if (r == 0) std::copy_n(mine.begin(), piece, theirs.begin());
    if (r > 0 && rank == r) MPI_Send(mine.data(), count, MPI_FLOAT, 0, 1, MPI_COMM_WORLD);
    if (rank != 0) continue;
    if (r > 0) MPI_Recv(theirs.data(), count, MPI_FLOAT, r, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    for (std::size_t i = 0; i < piece; ++i) {
      const double want = static_cast<double>(expected[static_cast<std::size_t>(r) * piece + i]);
      worst = std::max(worst, std::abs(static_cast<double>(theirs[i]) - want));
      largest = std::max(largest, std::abs(want));
    }
  }
  double result = largest > 0 ? worst / largest : worst;
  MPI_Bcast(&result, 1, MPI_DOUBLE, 0, MPI_COMM_WORLD);
  return result;
}

template <class Row>
bool measure(bool backward, index_t tokens, int repetitions) {
  const index_t n = tokens / ranks, L = n * ranks;
  Row x(rank * n, rank == 0 ? L : n, backward);  // rank 0 has the whole, and its piece in it
  const gatescan::cpu one{.threads = 1};
  const gatescan::sequence_parallel<> all{.comm = MPI_COMM_WORLD, .backend = one};
  const auto run = [&](const auto& place, const auto& mode, index_t count) -> const numbers& {
    return backward ? x.backward(place, mode, count) : x.forward(place, mode, count);
  };
  const auto together = [&] { run(all, gatescan::scan{}, n); };
  const auto alone = [&](const auto& mode) {
    if (rank == 0) run(one, mode, L);
  };

  const auto piece = static_cast<std::size_t>(n * Row::values);
  numbers expected;
  if (rank == 0) expected = run(one, gatescan::automatic{}, L);
  const double worst = worst_difference(run(all, gatescan::scan{}, n), piece, expected);
  expected = {};
  if (!(worst < 1e-3)) {
    if (rank == 0) std::printf("%s: wrong by %.1e\n", Row::name, worst);
    return false;
  }

  std::vector<double> of_all, in_scan, in_best;
  for (int i = 0; i < repetitions; ++i) {
    of_all.push_back(seconds(together));
    in_scan.push_back(seconds([&] { alone(gatescan::scan{}); }));
    in_best.push_back(seconds([&] { alone(gatescan::automatic{}); }));
  }
  const double t = median(of_all), scan = median(in_scan), best = median(in_best);
  if (rank == 0)
    std::printf(
        "%s, %s, L %lld: %d ranks %.1f ms; one in scan %.1f ms (efficiency %.2f), in automatic "
        "%.1f ms (%.2f)\n",
        Row::name, backward ? "backward" : "forward", static_cast<long long>(L), ranks, 1e3 * t,
        1e3 * scan, scan / (t * ranks), 1e3 * best, best / (t * ranks));
  return true;
}

// A diagonal summary as an operation of MPI's: (a, s) then (b, t) is (a b, b s + t).
void combine(void* before, void* after, int* count, MPI_Datatype*) {
  const float* x = static_cast<const float*>(before);
  float* y = static_cast<float*>(after);
  for (int i = 0; i < 2 * *count; i += 2) {
    y[i + 1] += y[i] * x[i + 1];
    y[i] *= x[i];
  }
}
// A state goes from the first rank to the last, every rank applying its summary; and an exclusive
// scan of the summaries themselves, which are twice as large where gates are one a number.
void exchange() {
  MPI_Op op;
  MPI_Op_create(combine, 0, &op);
  MPI_Datatype pair;
  MPI_Type_contiguous(2, MPI_FLOAT, &pair);
  MPI_Type_commit(&pair);
  for (const int bytes : {8, 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20}) {
    const int count = bytes / 4;
    numbers state(static_cast<std::size_t>(count), 1), summary(2 * state.size(), 0.5f),
        sum(summary);
    const auto chain = [&] {
      if (rank > 0)
        MPI_Recv(state.data(), count, MPI_FLOAT, rank - 1, 2, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      for (std::size_t i = 0; i < state.size(); ++i)
        state[i] = state[i] * summary[2 * i] + summary[2 * i + 1];
      if (rank + 1 < ranks) MPI_Send(state.data(), count, MPI_FLOAT, rank + 1, 2, MPI_COMM_WORLD);
    };
    const auto scan = [&] {
      MPI_Exscan(summary.data(), sum.data(), count, pair, op, MPI_COMM_WORLD);
    };
    std::vector<double> of_chain, of_scan;
    const double barrier = [] {
      std::vector<double> times;
      for (int i = 0; i < 101; ++i) times.push_back(seconds([] {}));
      return median(times);
    }();
    for (int i = 0; i < 101; ++i) {
      of_chain.push_back(seconds(chain) - barrier);
      of_scan.push_back(seconds(scan) - barrier);
    }
    if (rank == 0)
      std::printf("%8d bytes of state over %d ranks: chain %7.1f us, exscan %7.1f us\n", bytes,
                  ranks, 1e6 * median(of_chain), 1e6 * median(of_scan));
  }
  MPI_Type_free(&pair);
  MPI_Op_free(&op);
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  const std::string row = argc > 1 ? argv[1] : "", way = argc > 2 ? argv[2] : "";
  const index_t tokens = argc > 3 ? std::atoll(argv[3]) : 1 << 15;
  const int repetitions = argc > 4 ? std::atoi(argv[4]) : 5;
  bool right = true;
  const auto run = [&]<class Row>(const char* name) {
    if (!row.empty() && row != name) return;
    for (const bool backward : {false, true})
      if (way.empty() || way == (backward ? "backward" : "forward"))
        right = right && measure<Row>(backward, tokens, repetitions);
  };
  run.operator()<gla_row<false>>("gla");
  run.operator()<gla_row<true>>("gla_slow");
  run.operator()<selective_scan_row<false>>("selective_scan");
  run.operator()<selective_scan_row<true>>("selective_scan_slow");
  run.operator()<gated_delta_net_row>("gated_delta_net");
  run.operator()<elementwise_row>("elementwise");
  if (row.empty() || row == "exchange") exchange();
  MPI_Finalize();
  return right ? 0 : 1;
}
