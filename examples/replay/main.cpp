// replay: runs one recurrence on the tensors of a safetensors file, to check a model written in
// Python against this library. README.md lists the tensors that each recurrence reads and writes.
//
// Exit code 0 and a complete OUT, or a message on stderr, exit code 2 and no OUT.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <exception>
#include <iostream>
#include <limits>
#include <memory>
#include <new>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "over_ranks.hpp"
#include "recurrences.hpp"
#include "replay.hpp"

namespace {

constexpr int failure = 2;

// Numbers that the formulas have a meaning for.
void check_number(const std::string& name, double x) {
  const bool positive = name == "max_slope", not_negative = name == "eps" || name == "dt-limit";
  if (!std::isfinite(x) || (positive && x <= 0) || (not_negative && x < 0))
    throw CLI::ValidationError(name, std::string("expected a finite number") +
                                         (positive       ? " above 0"
                                          : not_negative ? ", 0 or more"
                                                         : "") +
                                         ", got " + std::to_string(x));
}

// A switch of a recurrence is a flag, or an option with a number; least_NAME and most_NAME are one
// option with two, NAME-limit.
void declare_switch(CLI::App& app, replay::options& asked, const replay::option& s) {
  constexpr std::string_view least = "least_", most = "most_";
  const auto flag = [](std::string_view name) {
    std::string text = "--" + std::string(name);
    std::replace(text.begin(), text.end(), '_', '-');
    return text;
  };
  auto& given = asked.switches;
  if (s.name.starts_with(most)) return;
  if (s.name.starts_with(least)) {
    const std::string name = s.name.substr(least.size());
    app.add_option_function<std::pair<double, double>>(
        flag(name + "-limit"),
        [&given, name](const std::pair<double, double>& limits) {
          const bool endless = limits.second == std::numeric_limits<double>::infinity();
          check_number(name + "-limit", limits.first);
          if (!endless) check_number(name + "-limit", limits.second);
          if (limits.first > limits.second)
            throw CLI::ValidationError(name + "-limit", "expected the least first, got " +
                                                            std::to_string(limits.first) + " " +
                                                            std::to_string(limits.second));
          given["least_" + name] = limits.first;
          given["most_" + name] = limits.second;
        },
        "the least and the most of " + name);
  } else if (s.is_flag) {
    app.add_flag_callback(flag(s.name), [&given, name = s.name] { given[name] = 1; });
  } else {
    app.add_option_function<double>(
        flag(s.name),
        [&given, name = s.name](double x) {
          check_number(name, x);
          given[name] = x;
        },
        "its number");
  }
}

void declare(CLI::App& app, replay::options& asked) {
  constexpr int most = std::numeric_limits<int>::max();
  std::vector<std::string> names;
  for (const auto& r : replay::recurrences()) names.push_back(r.name);
  app.add_option("--recurrence", asked.recurrence, "the equation")
      ->required()
      ->check(CLI::IsMember(names));
  app.add_option("--mode", asked.mode, "how it is computed; the answer is the same")
      ->required()
      ->check(CLI::IsMember({"recurrent", "scan", "chunked", "attention"}));
  app.add_option("--backend", asked.backend, "where it is computed")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--chunk", asked.chunk, "tokens a chunk in chunked mode [the library's choice]")
      ->check(CLI::Range(1, most));
  app.add_option(
         "--segments", asked.segments,
         "of time in scan mode [the library's choice; under mpirun 1 of each rank's tokens]")
      ->check(CLI::Range(1, 1024));
  app.add_option("--threads", asked.threads,
                 "of the cpu, 0: all cores; the bits do not depend on it")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_flag("--wide", asked.wide, "arithmetic and states in double");
  app.add_flag("--grad", asked.grad, "also the gradients, from d_out and d_final_state in IN");
  std::set<std::string> declared;
  for (const auto& r : replay::recurrences())
    for (const auto& s : r.options)
      if (declared.insert(s.name).second) declare_switch(app, asked, s);
  app.add_option("IN.safetensors", asked.in, "operands")->required();
  app.add_option("OUT.safetensors", asked.out, "results")->required();
}

// Of ranks the first speaks for all.
int complain(const replay::ranks* all, const std::string& where, const std::string& what) {
  if (all == nullptr || all->own() == 0)
    std::cerr << "replay: " << where << (where.empty() ? "" : ": ") << what << std::endl;
  return failure;
}

int run_alone(const replay::options& asked) {
  std::unique_ptr<device_calls::device> device;
  try {
    if (asked.backend == "cuda") device = device_calls::open_device();
  } catch (const std::exception& error) {
    return complain(nullptr, "--backend cuda", error.what());
  }
  replay::tensors results;
  try {
    const auto bytes = replay::safetensors::read_bytes(asked.in);
    const auto file = replay::safetensors::parse(bytes);
    results = replay::run(asked, file, device.get());
  } catch (const std::bad_alloc&) {
    return complain(nullptr, asked.in, "out of memory");
  } catch (const std::exception& error) {
    return complain(nullptr, asked.in, error.what());
  }
  try {
    replay::safetensors::write_bytes(asked.out, replay::safetensors::serialize(results));
  } catch (const std::exception& error) {
    return complain(nullptr, asked.out, error.what());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::unique_ptr<replay::ranks> all = replay::ranks::join(argc, argv);
  const auto wrong = [&](const std::string& where, const std::string& what) {
    return complain(all.get(), where, what);
  };
  replay::options asked;
  CLI::App app{"Runs one recurrence on the tensors of a safetensors file."};
  declare(app, asked);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    std::ostringstream silence;
    const bool speaks = all == nullptr || all->own() == 0;
    const int code = speaks ? app.exit(error) : app.exit(error, silence, silence);
    return code == 0 ? 0 : failure;
  }
  const replay::recurrence& recurrence = replay::find_recurrence(asked.recurrence);
  for (const auto& [name, number] : asked.switches)
    if (std::none_of(recurrence.options.begin(), recurrence.options.end(),
                     [&asked_for = name](const replay::option& s) { return s.name == asked_for; }))
      return wrong(name, recurrence.name + " has no such switch");
  if (asked.chunk && asked.mode != "chunked") return wrong("--chunk", "only --mode chunked has it");
  if (asked.segments && asked.mode != "scan") return wrong("--segments", "only --mode scan has it");
  if (all == nullptr) return run_alone(asked);

  if (asked.mode != "scan") return wrong("--mode " + asked.mode, "ranks have only scan");
  if (asked.backend != "cpu") return wrong("--backend " + asked.backend, "ranks have only cpu");
  try {
    run_over(*all, asked);
  } catch (const replay::rank_error& error) {
    return wrong("", error.what());
  }
  return 0;
}
