// gatescan_bench [--threads=1,2] [Google Benchmark's options]
//
// Names are RECURRENCE/PASS/MODE/BACKEND/SCALAR/SHAPE/threads:N; --benchmark_filter picks by a
// regular expression. Exit code 1 when a result was wrong, or nothing was to be timed.
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <sstream>
#include <string_view>
#include <thread>

#include "support/cells.hpp"

namespace {

constexpr std::string_view threads_option = "--threads=";

// Takes the option out of the arguments. Without it: one thread, and all cores.
std::vector<int> take_threads(int& argc, char** argv) {
  std::set<int> threads;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (!argument.starts_with(threads_option)) {
      argv[kept++] = argv[i];
      continue;
    }
    std::istringstream list{std::string(argument.substr(threads_option.size()))};
    for (std::string number; std::getline(list, number, ',');) {
      const int n = std::atoi(number.c_str());
      if (n < 1) {
        std::fprintf(stderr, "%s: expected numbers of threads like 1,2\n", argv[i]);
        std::exit(2);
      }
      threads.insert(n);
    }
  }
  argc = kept;
  argv[argc] = nullptr;
  if (threads.empty())
    threads = {1, std::max(1, static_cast<int>(std::thread::hardware_concurrency()))};
  return {threads.begin(), threads.end()};
}

bool only_lists(int argc, char** argv) {
  for (int i = 1; i < argc; ++i)
    if (std::string_view(argv[i]).starts_with("--benchmark_list_tests")) return true;
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<int> threads = take_threads(argc, argv);
  const bool measure = !only_lists(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  bench::add_all_rows(threads);
  if (measure)
    for (const int n : threads)
      benchmark::AddCustomContext(
          "limits, " + std::to_string(n) + (n == 1 ? " thread" : " threads"),
          bench::describe_limits(n));
  const std::size_t ran = benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (bench::refused_cells() > 0)
    std::fprintf(stderr, "%d cells were wrong and were not timed\n", bench::refused_cells());
  return bench::refused_cells() > 0 || ran == 0 ? 1 : 0;
}
