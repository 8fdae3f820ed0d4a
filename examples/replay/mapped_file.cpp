#include "mapped_file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "safetensors.hpp"

namespace replay {

using safetensors::file_error;

mapped_file::mapped_file(const std::filesystem::path& path) {
  std::error_code status;
  if (!std::filesystem::is_regular_file(path, status))
    throw file_error(status ? status.message() : "not a regular file");
  const auto size = std::filesystem::file_size(path, status);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (status || file < 0) throw file_error("cannot be opened");
  void* const at = size > 0 ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
  const int error = errno;
  ::close(file);
  if (at == MAP_FAILED) throw file_error(std::string("cannot be read: ") + std::strerror(error));
  data_ = static_cast<std::byte*>(at), size_ = size;
}

mapped_file::~mapped_file() {
  if (data_ != nullptr) ::munmap(data_, size_);
}

}  // namespace replay
