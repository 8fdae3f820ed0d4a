// replay: runs one recurrence on the tensors of a safetensors file, to check a model written in
// Python against this library. README.md lists the tensors that each recurrence reads and writes.
//
// Exit code 0 and a complete OUT, or a message on stderr, exit code 2 and no OUT.
#include <CLI/CLI.hpp>
#include <exception>
#include <iostream>
#include <limits>
#include <map>
#include <memory>
#include <new>

#include "replay.hpp"

namespace {

constexpr int failure = 2;

const std::map<std::string, replay::recurrence*> recurrences{
    {"elementwise", replay::elementwise},
    {"gateloop", replay::gateloop},
    {"gla", replay::gla},
    {"selective_scan", replay::selective_scan}};

void declare(CLI::App& app, replay::options& asked) {
  constexpr int most = std::numeric_limits<int>::max();
  app.add_option("--recurrence", asked.recurrence, "the equation")
      ->required()
      ->check(CLI::IsMember({"elementwise", "gateloop", "gla", "selective_scan"}));
  app.add_option("--mode", asked.mode, "how it is computed; the answer is the same")
      ->required()
      ->check(CLI::IsMember({"recurrent", "scan", "chunked", "attention"}));
  app.add_option("--backend", asked.backend, "where it is computed")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  app.add_option("--chunk", asked.chunk, "tokens a chunk in chunked mode [the library's choice]")
      ->check(CLI::Range(1, most));
  app.add_option("--threads", asked.threads,
                 "of the cpu, 0: all cores; the bits do not depend on it")
      ->check(CLI::Range(0, 4096))
      ->capture_default_str();
  app.add_flag("--softplus", asked.softplus,
               "delta = softplus(delta + delta_bias) (selective_scan)");
  app.add_flag("--wide", asked.wide, "arithmetic and states in double");
  app.add_flag("--grad", asked.grad, "also the gradients, from d_out and d_final_state in IN");
  app.add_option("IN.safetensors", asked.in, "operands")->required();
  app.add_option("OUT.safetensors", asked.out, "results")->required();
}

int complain(const std::string& where, const std::string& what) {
  std::cerr << "replay: " << where << (where.empty() ? "" : ": ") << what << '\n';
  return failure;
}

}  // namespace

int main(int argc, char** argv) {
  replay::options asked;
  CLI::App app{"Runs one recurrence on the tensors of a safetensors file."};
  declare(app, asked);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : failure;
  }
  if (asked.softplus && asked.recurrence != "selective_scan") {
    return complain("--softplus", "only selective_scan has it");
  }

  if (asked.chunk && asked.mode != "chunked") {
    return complain("--chunk", "only --mode chunked has it");
  }

  std::unique_ptr<device_calls::device> device;
  try {
    if (asked.backend == "cuda") device = device_calls::open_device();
  } catch (const std::exception& error) {
    return complain("--backend cuda", error.what());
  }
  replay::tensors results;
  try {
    const auto bytes = replay::safetensors::read_bytes(asked.in);
    const auto file = replay::safetensors::parse(bytes);
    results = recurrences.at(asked.recurrence)(asked, file, device.get());
  } catch (const std::bad_alloc&) {
    return complain(asked.in, "out of memory");
  } catch (const std::exception& error) {
    return complain(asked.in, error.what());
  }
  try {
    replay::safetensors::write_bytes(asked.out, replay::safetensors::serialize(results));
  } catch (const std::exception& error) {
    return complain(asked.out, error.what());
  }
  return 0;
}
