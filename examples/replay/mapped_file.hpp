// A file that is read where it is needed only.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace replay {

/// The bytes of a regular file, in no memory but what is looked at. Throws safetensors::file_error.
class mapped_file {
 public:
  explicit mapped_file(const std::filesystem::path& path);
  ~mapped_file();
  mapped_file(const mapped_file&) = delete;
  mapped_file& operator=(const mapped_file&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace replay
