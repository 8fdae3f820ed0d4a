// Times of the CUDA backend: each row is checked against the CPU library before it is timed by
// events, beside the copy bandwidth and matrix rate of the same run.
//
//   gatescan_bench_cuda [--rows REGEX] [--tiny] [--seconds S] [--out FILE.json]
//
// Exit code 0: all is right; 1: a row failed or was wrong; 77: there is no device.
#include <cuda_runtime_api.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <regex>

#include "row.hpp"

namespace bench_cuda {
namespace {

using nlohmann::json;

constexpr int no_device = 77;

json as_json(const row& r) {
  json j{{"name", r.name},
         {"recurrence", r.recurrence},
         {"format", r.format},
         {"size",
          {{"batch", r.size.batch},
           {"time", r.size.time},
           {"heads", r.size.heads},
           {"keys", r.size.keys},
           {"values", r.size.values},
           {"complex", r.size.complex},
           {"interleaved", r.size.interleaved},
           {"scalar_gate", r.size.scalar_gate}}},
         {"sets", r.sets},
         {"failure", r.failure},
         {"operands", json::array()},
         {"passes", json::object()},
         {"samples", json::object()}};
  for (const auto& o : r.operands)
    j["operands"].push_back(
        {{"name", o.name}, {"shape", o.shape}, {"seed", o.seed}, {"low", o.low}, {"high", o.high}});
  for (const auto& t : r.passes)
    j["passes"][t.pass] = {
        {"mode", t.mode},   {"median_ms", t.median}, {"least_ms", t.least},     {"most_ms", t.most},
        {"bytes", t.bytes}, {"error", t.error},      {"tolerance", t.tolerance}};
  for (const auto& s : r.results)
    j["samples"][s.name] = {{"places", s.places}, {"values", s.values}};
  return j;
}

std::string now() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%MZ", std::gmtime(&t));
  return text;
}

json card() {
  cudaDeviceProp p{};
  int driver = 0, runtime = 0;
  if (cudaGetDeviceProperties(&p, 0) != cudaSuccess ||
      cudaDriverGetVersion(&driver) != cudaSuccess ||
      cudaRuntimeGetVersion(&runtime) != cudaSuccess)
    throw cuda_failure("the device does not say what it is");
  return {{"name", p.name},
          {"compute_capability", std::to_string(p.major) + "." + std::to_string(p.minor)},
          {"multiprocessors", p.multiProcessorCount},
          {"memory_bytes", p.totalGlobalMem},
          {"l2_bytes", p.l2CacheSize},
          {"cuda_driver", driver},
          {"cuda_runtime", runtime}};
}

void show(const row& r, const limits& can) {
  for (const auto& t : r.passes) {
    const double rate = 1e-6 * t.bytes / t.median;
    std::printf("%-62s %-8s %-9s %9.3f ms (%.3f to %.3f)  %5.2f of copy  error %.1e\n",
                r.name.c_str(), t.pass.c_str(), t.mode.c_str(), t.median, t.least, t.most,
                rate / can.copy, t.error);
  }
  if (!r.failure.empty()) std::printf("%-62s FAILED: %s\n", r.name.c_str(), r.failure.c_str());
  std::fflush(stdout);
}

int run(int argc, char** argv) {
  settings how;
  std::string out;
  CLI::App app{"Times the CUDA backend."};
  app.add_option("--rows", how.only, "Only rows whose names this regular expression finds");
  app.add_flag("--tiny", how.tiny, "A few tokens: is everything right?");
  app.add_option("--seconds", how.seconds, "Of each time that is taken")
      ->check(CLI::Range(0.0, 60.0));
  app.add_option("--out", out, "JSON to write");
  CLI11_PARSE(app, argc, argv);

  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  if (code != cudaSuccess || devices == 0) {
    std::cout << "no device: skipped ("
              << (code != cudaSuccess ? cudaGetErrorString(code) : "none is listed") << ")\n";
    return no_device;
  }
  json result{{"date", now()}, {"device", card()}, {"tiny", how.tiny}, {"rows", json::array()}};
  how.cache = result["device"]["l2_bytes"];
  const limits can = measure_limits(how);
  result["limits"] = {{"copy_gb_s", can.copy}, {"bf16_mma_sync_tflop_s", can.matrix}};
  std::printf("%s: copies %.0f GB/s, bf16 products by mma.sync %.0f TFLOP/s\n",
              result["device"]["name"].get<std::string>().c_str(), can.copy, can.matrix);

  bool right = true;
  for (const auto add : {add_elementwise, add_selective_scan, add_gla, add_gateloop}) {
    std::vector<row> rows;
    add(how, rows);
    for (const row& r : rows) {
      show(r, can);
      right = right && r.failure.empty();
      result["rows"].push_back(as_json(r));
    }
    // at once: a run that is cut short counts too
    if (!out.empty()) std::ofstream(out) << result.dump(1) << '\n';
  }
  if (!out.empty() && !std::ifstream(out)) throw cuda_failure(out + " cannot be written");
  return right ? 0 : 1;
}

shape tiny(shape n) {
  n.batch = std::min<std::int64_t>(n.batch, 2), n.time = std::min<std::int64_t>(n.time, 150);
  n.heads = std::min<std::int64_t>(n.heads, 16), n.values = std::min<std::int64_t>(n.values, 128);
  return n;
}

}  // namespace

void add_row(const settings& how, std::vector<row>& to, row r,
             const std::function<void(row&)>& fill) {
  if (!std::regex_search(r.name, std::regex(how.only))) return;
  if (how.tiny) r.size = tiny(r.size);
  try {
    fill(r);
  } catch (const std::exception& error) {
    r.failure = error.what();
    cudaGetLastError();  // so that the next row starts afresh
  }
  to.push_back(r);
}

}  // namespace bench_cuda

int main(int argc, char** argv) {
  try {
    return bench_cuda::run(argc, argv);
  } catch (const std::exception& error) {
    std::cerr << "gatescan_bench_cuda: " << error.what() << '\n';
    return 1;
  }
}
