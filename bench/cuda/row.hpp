// What is measured, as files of g++ and of nvcc both see it.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench_cuda {

struct cuda_failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// elementwise: values are the channels; selective_scan: heads are the channels, keys the states;
/// rwkv4: heads are the channels.
struct shape {
  std::int64_t batch = 1, time = 1, heads = 1, keys = 1, values = 1;
  bool complex = false, interleaved = false;  // elementwise: complex64, or its two planes apart
  bool scalar_gate = false;                   // gla: a gate a head
};

struct settings {
  std::string only;               // rows whose names have this part
  bool tiny = false;              // a few tokens: is everything right?
  double seconds = 0.3;           // of each time that is taken
  std::int64_t cache = 64 << 20;  // bytes of the device's last level
};

/// An operand as peers can make it too (numbers.hpp): of the first set.
struct operand_recipe {
  std::string name;
  std::vector<std::int64_t> shape;
  std::uint64_t seed = 0;
  float low = 0, high = 0;
};

struct samples {
  std::string name;  // out, or d_NAME
  std::vector<std::int64_t> places;
  std::vector<float> values;
};

struct times {
  std::string pass, mode;                  // forward, both (forward and backward) or step
  double median = 0, least = 0, most = 0;  // milliseconds
  double bytes = 0;                        // of all operands and results that the pass needs, once
  double error = 0, tolerance = 0;  // against the CPU library on a slice; relative root mean square
};

struct row {
  std::string name, recurrence, format, failure;
  shape size;
  int sets = 1;  // of operands, used in turn
  std::vector<operand_recipe> operands;
  std::vector<times> passes;
  std::vector<samples> results;
};

/// Adds a row if it is wanted; what fails is its result.
void add_row(const settings& how, std::vector<row>& to, row r,
             const std::function<void(row&)>& fill);

struct limits {
  double copy = 0;    // bytes read and written, GB/s
  double matrix = 0;  // bf16 products by mma.sync, summed in float, TFLOP/s
};
limits measure_limits(const settings& how);

void add_aaren(const settings& how, std::vector<row>& to);
void add_elementwise(const settings& how, std::vector<row>& to);
void add_gated_delta_net(const settings& how, std::vector<row>& to);
void add_gateloop(const settings& how, std::vector<row>& to);
void add_gla(const settings& how, std::vector<row>& to);
void add_linear_attention(const settings& how, std::vector<row>& to);
void add_mamba2(const settings& how, std::vector<row>& to);
void add_mlstm(const settings& how, std::vector<row>& to);
void add_rwkv4(const settings& how, std::vector<row>& to);
void add_rwkv6(const settings& how, std::vector<row>& to);
void add_rwkv7(const settings& how, std::vector<row>& to);
void add_selective_scan(const settings& how, std::vector<row>& to);

}  // namespace bench_cuda
