// Bytes as a safetensors file: an error that says why, or tensors that tile the data and that,
// written again, read as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "../../examples/replay/safetensors.hpp"

using namespace replay::safetensors;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::byte> file(reinterpret_cast<const std::byte*>(data),
                                    reinterpret_cast<const std::byte*>(data) + size);
  entries read;
  try {
    read = parse(file);
  } catch (const file_error& error) {
    if (*error.what() == '\0') std::abort();
    return 0;
  }
  std::vector<tensor> tensors;
  for (const auto& [name, e] : read)
    tensors.push_back({name, e.dtype, e.shape, {e.bytes.begin(), e.bytes.end()}});
  const auto again = serialize(tensors);
  const entries second = parse(again);
  if (second.size() != read.size()) std::abort();
  for (const auto& [name, e] : read) {
    const entry& other = second.at(name);
    const bool same =
        other.dtype == e.dtype && other.shape == e.shape &&
        std::equal(e.bytes.begin(), e.bytes.end(), other.bytes.begin(), other.bytes.end());
    if (!same) std::abort();
  }
  return 0;
}
