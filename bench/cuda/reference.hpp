// The CPU library's answer on a slice of a problem: one sequence, one head or a few channels, in
// double.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace bench_cuda {

/// By operand; an imaginary part is NAME_im.
using numbers_by_name = std::map<std::string, std::vector<double>>;

struct slice {
  std::int64_t time = 1, keys = 1, values = 1;  // selective_scan: values are its channels
  bool complex = false, scalar_gate = false, backward = false;
  numbers_by_name operands;  // initial_state too; out is the gradient of out
};

/// out, and final_state forward or the gradients backward.
numbers_by_name reference(const std::string& recurrence, const slice& of);

}  // namespace bench_cuda
