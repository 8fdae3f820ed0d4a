#include "cells.hpp"

#include <benchmark/benchmark.h>

#include <exception>
#include <map>
#include <utility>

namespace bench {
namespace {

int refused = 0;

// Google Benchmark runs a cell several times to find out how often to repeat it. It is prepared on
// the first of these runs, and its memory goes when another cell's turn has come.
const verified_call& prepared(const std::string& name,
                              const std::function<verified_call()>& prepare) {
  static std::string whose;
  static verified_call cell;
  if (whose == name) return cell;
  whose = name;
  cell = {};
  try {
    cell = prepare();
  } catch (const std::exception& e) {
    cell.error = e.what();
  }
  if (!cell.error.empty()) ++refused;
  return cell;
}

void time_cell(benchmark::State& state, const verified_call& cell) {
  if (!cell.error.empty()) {
    state.SkipWithError(("not timed, since it is wrong: " + cell.error).c_str());
    return;
  }
  for ([[maybe_unused]] auto iteration : state) {
    cell.call();
    benchmark::ClobberMemory();
  }
  using counter = benchmark::Counter;
  const auto each = counter::kIsIterationInvariantRate;
  const work& w = cell.useful;
  state.counters["tokens_per_second"] = counter(w.tokens, each);
  state.counters["bytes_per_second"] = counter(w.bytes, each);
  state.counters["flops"] = counter(w.flops, each);
  state.counters["fraction_of_limit"] = counter(w.seconds_at_limit, each);
  state.counters["workspace_bytes"] =
      counter(cell.workspace_bytes, counter::kDefaults, counter::kIs1024);
  state.SetLabel(w.limit);
}

}  // namespace

void add_cell(const std::string& name, std::function<verified_call()> prepare, unit in) {
  const auto run = [name, make = std::move(prepare)](benchmark::State& state) {
    time_cell(state, prepared(name, make));
  };
  benchmark::RegisterBenchmark(name.c_str(), run)
      ->UseRealTime()
      ->Unit(in == unit::microseconds ? benchmark::kMicrosecond : benchmark::kMillisecond);
}

namespace {
auto& all_rows() {
  static std::map<std::string, void (*)(const std::vector<int>&)> all;
  return all;
}
}  // namespace

rows::rows(const char* recurrence, void (*add)(const std::vector<int>&)) {
  all_rows()[recurrence] = add;
}
void add_all_rows(const std::vector<int>& threads) {
  for (const auto& [name, add] : all_rows()) add(threads);
}

int refused_cells() { return refused; }

}  // namespace bench
