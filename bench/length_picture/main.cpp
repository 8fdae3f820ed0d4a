// bench_length_picture PICTURE.svg TABLE.csv [THREADS]
//
// Times gla forward in the four modes against the length of the sequence. Every result is verified
// before it is timed. A mode stops where one call takes longer than `longest_call`.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <stdexcept>

#include "picture.hpp"
#include "support/cells.hpp"

namespace {

using support::gla;

constexpr double longest_call = 1.0, least_time = 0.2;  // seconds
constexpr bench::index_t heads = 4, keys = 64, values = 64;

// The least of several calls, for at least `least_time`.
double seconds_of(const std::function<void()>& call) {
  using clock = std::chrono::steady_clock;
  double least = 1e300, total = 0;
  for (int calls = 0; calls < 3 || total < least_time; ++calls) {
    const auto start = clock::now();
    call();
    const std::chrono::duration<double> taken = clock::now() - start;
    least = std::min(least, taken.count());
    total += taken.count();
    if (least > longest_call) break;
  }
  return least;
}

template <class Mode>
bench::curve measure(const Mode& mode, int threads) {
  bench::curve curve{Mode::name, {}};
  for (bench::index_t length = 64; length <= 8192; length *= 2) {
    bench::shape s = bench::matrix_shape(1, length, heads, keys, values);
    s.forget = {{"log_decay", -std::numeric_limits<double>::infinity()}, {"k", 0}};
    const auto cell = bench::prepare_run<gla, float>(bench::pass::forward, mode, s, threads);
    if (!cell.error.empty())
      throw std::runtime_error(curve.mode + " at length " + std::to_string(length) + ": " +
                               cell.error);
    const double seconds = seconds_of(cell.call);
    curve.points.push_back({static_cast<double>(length), seconds});
    std::printf("%-10s %6d tokens %10.3f ms\n", Mode::name, static_cast<int>(length),
                seconds * 1e3);
    std::fflush(stdout);
    if (seconds > longest_call) break;
  }
  return curve;
}

int run(const std::string& picture, const std::string& table, int threads) {
  const std::vector<bench::curve> curves{
      measure(gatescan::attention{}, threads), measure(gatescan::scan{}, threads),
      measure(gatescan::recurrent{}, threads), measure(gatescan::chunked{}, threads)};
  char title[120];
  std::snprintf(title, sizeof title, "gla forward, %d heads, K = V = %d, float, %d thread%s",
                static_cast<int>(heads), static_cast<int>(keys), threads, threads == 1 ? "" : "s");
  bench::draw_lengths(picture, title, curves);
  bench::write_table(table, curves);
  std::printf("wrote %s and %s\n", picture.c_str(), table.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int threads = argc > 3 ? std::atoi(argv[3]) : 1;
  if (argc < 3 || argc > 4 || threads < 1) {
    std::fprintf(stderr, "usage: bench_length_picture PICTURE.svg TABLE.csv [THREADS]\n");
    return 2;
  }
  try {
    return run(argv[1], argv[2], threads);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
