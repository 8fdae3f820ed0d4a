// The JSON header of a safetensors file, read strictly: only the structure the format defines.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace replay::safetensors {

/// One tensor as the header states it; nothing is checked yet but the types of the JSON values.
struct declaration {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> data_offsets;
};

/// The declared tensors by name; `__metadata__` is checked and dropped. Throws file_error for text
/// that is not JSON, for a name or a field that occurs twice or is missing, and for any other
/// value.
std::map<std::string, declaration, std::less<>> parse_header(std::string_view text);

}  // namespace replay::safetensors
