// Times of the CUDA backend: each row is checked against the CPU library before it is timed by
// events, beside the copy bandwidth and matrix rate of the same run.
//
//   gatescan_bench_cuda [--rows PART_OF_A_NAME] [--tiny] [--seconds S] [--out FILE.json]
//
// Exit code 0: all is right; 1: a row failed or was wrong; 2: a wrong flag; 77: there is no device.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>

#include "json.hpp"
#include "row.hpp"

namespace bench_cuda {
namespace {

constexpr int no_device = 77;

void write(json& j, const row& r) {
  j.open('{');
  j.member("name", r.name);
  j.member("recurrence", r.recurrence);
  j.member("format", r.format);
  j.member("sets", r.sets);
  j.member("failure", r.failure);
  j.open("size", '{');
  j.member("batch", r.size.batch);
  j.member("time", r.size.time);
  j.member("heads", r.size.heads);
  j.member("keys", r.size.keys);
  j.member("values", r.size.values);
  j.member("complex", r.size.complex);
  j.member("interleaved", r.size.interleaved);
  j.member("scalar_gate", r.size.scalar_gate);
  j.close('}');
  j.open("operands", '[');
  for (const auto& o : r.operands) {
    j.open('{');
    j.member("name", o.name);
    j.member("shape", o.shape);
    j.member("seed", o.seed);
    j.member("low", o.low);
    j.member("high", o.high);
    j.close('}');
  }
  j.close(']');
  j.open("passes", '{');
  for (const auto& t : r.passes) {
    j.open(t.pass.c_str(), '{');
    j.member("mode", t.mode);
    j.member("median_ms", t.median);
    j.member("least_ms", t.least);
    j.member("most_ms", t.most);
    j.member("bytes", t.bytes);
    j.member("error", t.error);
    j.member("tolerance", t.tolerance);
    j.close('}');
  }
  j.close('}');
  j.open("samples", '{');
  for (const auto& s : r.results) {
    j.open(s.name.c_str(), '{');
    j.member("places", s.places);
    j.member("values", s.values);
    j.close('}');
  }
  j.close('}');
  j.close('}');
}

std::string now() {
  const std::time_t t = std::time(nullptr);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%MZ", std::gmtime(&t));
  return text;
}

cudaDeviceProp card() {
  cudaDeviceProp p{};
  if (cudaGetDeviceProperties(&p, 0) != cudaSuccess)
    throw cuda_failure("the device does not say what it is");
  return p;
}

std::string report(const std::string& date, const cudaDeviceProp& p, const settings& how,
                   const limits& can, const std::vector<row>& rows) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  json j;
  j.open('{');
  j.member("date", date);
  j.member("tiny", how.tiny);
  j.open("device", '{');
  j.member("name", std::string(p.name));
  j.member("compute_capability", std::to_string(p.major) + "." + std::to_string(p.minor));
  j.member("multiprocessors", p.multiProcessorCount);
  j.member("memory_bytes", p.totalGlobalMem);
  j.member("l2_bytes", p.l2CacheSize);
  j.member("cuda_driver", driver);
  j.member("cuda_runtime", runtime);
  j.close('}');
  j.open("limits", '{');
  j.member("copy_gb_s", can.copy);
  j.member("bf16_mma_sync_tflop_s", can.matrix);
  j.close('}');
  j.open("rows", '[');
  for (const row& r : rows) write(j, r);
  j.close(']');
  j.close('}');
  return j.text() + "\n";
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
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto next = [&] {
      if (++i >= argc) throw std::invalid_argument(flag + " wants a value");
      return std::string(argv[i]);
    };
    if (flag == "--tiny")
      how.tiny = true;
    else if (flag == "--rows")
      how.only = next();
    else if (flag == "--seconds")
      how.seconds = std::stod(next());
    else if (flag == "--out")
      out = next();
    else
      throw std::invalid_argument(
          "no flag is called " + flag +
          "; there are --rows PART_OF_A_NAME, --tiny, --seconds S and --out "
          "FILE.json");
  }

  int devices = 0;
  const cudaError_t code = cudaGetDeviceCount(&devices);
  if (code != cudaSuccess || devices == 0) {
    std::cout << "no device: skipped ("
              << (code != cudaSuccess ? cudaGetErrorString(code) : "none is listed") << ")\n";
    return no_device;
  }
  const std::string date = now();
  const cudaDeviceProp properties = card();
  how.cache = properties.l2CacheSize;
  const limits can = measure_limits(how);
  std::printf("%s: copies %.0f GB/s, bf16 products by mma.sync %.0f TFLOP/s\n", properties.name,
              can.copy, can.matrix);

  std::vector<row> rows;
  for (const auto add :
       {add_elementwise, add_selective_scan, add_gla, add_gateloop, add_mamba2, add_gated_delta_net,
        add_rwkv6, add_rwkv7, add_linear_attention, add_mlstm, add_aaren, add_rwkv4}) {
    const std::size_t before = rows.size();
    add(how, rows);
    for (std::size_t i = before; i < rows.size(); ++i) show(rows[i], can);
    // at once: a run that is cut short counts too
    if (!out.empty() && !(std::ofstream(out) << report(date, properties, how, can, rows)))
      throw std::runtime_error(out + " cannot be written");
  }
  return std::any_of(rows.begin(), rows.end(), [](const row& r) { return !r.failure.empty(); });
}

shape tiny(shape n) {
  n.batch = std::min<std::int64_t>(n.batch, 2), n.time = std::min<std::int64_t>(n.time, 150);
  n.heads = std::min<std::int64_t>(n.heads, 16), n.values = std::min<std::int64_t>(n.values, 128);
  return n;
}

}  // namespace

void add_row(const settings& how, std::vector<row>& to, row r,
             const std::function<void(row&)>& fill) {
  if (r.name.find(how.only) == std::string::npos) return;
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
  } catch (const std::invalid_argument& error) {
    std::cerr << "gatescan_bench_cuda: " << error.what() << '\n';
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "gatescan_bench_cuda: " << error.what() << '\n';
    return 1;
  }
}
