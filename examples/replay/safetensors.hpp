// The safetensors file format: an 8-byte little-endian length, that many bytes of JSON, then the
// data.
//
//   {"q": {"dtype": "F32", "shape": [2, 7, 4, 16], "data_offsets": [0, 3584]}, ...}
//
// A reader may be handed anything, so every number of the header is checked before it is used: what
// `parse` returns has known dtypes, shapes whose sizes fit, and bytes that tile the data exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace replay::safetensors {

/// The file is not a valid safetensors file, or could not be read or written; `what()` says why.
struct file_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using shape_type = std::vector<std::int64_t>;

/// One tensor of a parsed file; `bytes` points into the buffer that was parsed.
struct entry {
  std::string dtype;
  shape_type shape;
  std::span<const std::byte> bytes;
};

using entries = std::map<std::string, entry, std::less<>>;

/// A tensor to be written, with its own bytes.
struct tensor {
  std::string name;
  std::string dtype;
  shape_type shape;
  std::vector<std::byte> bytes;
};

/// Bytes of one element, 0 for a dtype that the format does not know.
std::int64_t size_of(std::string_view dtype);

/// Product of the extents, checked: throws file_error when the dense strides of such a tensor of
/// `item`-byte elements would not fit in 63 bits, even if an extent of 0 makes the tensor empty.
std::int64_t checked_size(std::span<const std::int64_t> shape, std::int64_t item);

/// The tensors in `file`, which must outlive the result. Throws file_error.
entries parse(std::span<const std::byte> file);

/// All bytes of a regular file. Throws file_error.
std::vector<std::byte> read_bytes(const std::filesystem::path& path);

/// What stands before the data of a file with tensors of these names, dtypes and shapes, whatever
/// their bytes, in this order; the data starts at a multiple of 8.
std::vector<std::byte> header_of(std::span<const tensor> tensors);
/// The bytes of a file with these tensors.
std::vector<std::byte> serialize(std::span<const tensor> tensors);

/// A file that is written all or nothing: into a temporary beside `path`, which `complete` gives
/// its name. Throws file_error; a temporary that is not complete goes away.
class new_file {
 public:
  explicit new_file(const std::filesystem::path& path);
  ~new_file();
  new_file(const new_file&) = delete;
  new_file& operator=(const new_file&) = delete;

  void append(std::span<const std::byte> bytes);
  void complete();

 private:
  [[noreturn]] void fail(const std::string& what);

  std::filesystem::path path_;
  std::string part_;
  std::FILE* stream_ = nullptr;
};
void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes);

/// `name` quoted and escaped, so that a hostile name cannot reach the terminal as control codes.
std::string printable(std::string_view name);

/// "[2, 7, 4]"
std::string to_string(std::span<const std::int64_t> shape);

}  // namespace replay::safetensors
