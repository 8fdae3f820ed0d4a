#include "safetensors.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "safetensors_header.hpp"

namespace replay::safetensors {
namespace {

constexpr std::size_t length_bytes = 8;
constexpr std::uint64_t max_header = std::uint64_t{16} << 20;  // real headers are a few kilobytes

constexpr std::array<std::pair<std::string_view, std::int64_t>, 15> dtypes{{
    {"F64", 8},
    {"F32", 4},
    {"F16", 2},
    {"BF16", 2},
    {"I64", 8},
    {"U64", 8},
    {"I32", 4},
    {"U32", 4},
    {"I16", 2},
    {"U16", 2},
    {"I8", 1},
    {"U8", 1},
    {"BOOL", 1},
    {"F8_E4M3", 1},
    {"F8_E5M2", 1},
}};

std::uint64_t read_length(std::span<const std::byte> file) {
  std::uint64_t length = 0;
  for (std::size_t i = length_bytes; i-- > 0;) {
    length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  }
  return length;
}

std::int64_t size_as_declared(const std::string& name, const declaration& declared) {
  const std::int64_t item = size_of(declared.dtype);
  if (declared.dtype == "C64" || declared.dtype == "C128") {
    throw file_error("tensor " + printable(name) + " has dtype " + declared.dtype +
                     ": give its real part as " + printable(name) + ", its imaginary part as " +
                     printable(name + "_im"));
  }
  if (item == 0) {
    throw file_error("tensor " + printable(name) + " has unknown dtype " +
                     printable(declared.dtype));
  }
  try {
    return checked_size(declared.shape, item) * item;
  } catch (const file_error& error) {
    throw file_error("tensor " + printable(name) + ": " + error.what());
  }
}

// The file that is being written, for signals that end the program before it is complete.
const char* unfinished = nullptr;

void remove_unfinished(int signal) {
  if (unfinished != nullptr) ::unlink(unfinished);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

// From `part` being created to its end signals take it along.
void begin_unfinished(const std::string& part) {
  unfinished = part.c_str();
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    if (std::signal(signal, remove_unfinished) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
  std::signal(SIGXFSZ, SIG_IGN);  // a file beyond its limit is an error of the write
}

// What a link points to, also where that does not exist yet.
std::filesystem::path without_links(std::filesystem::path path) {
  constexpr int most = 40;
  std::error_code status;
  for (int links = 0; std::filesystem::is_symlink(path, status); ++links) {
    if (links == most) throw file_error("too many links");
    path = path.parent_path() / std::filesystem::read_symlink(path);
  }
  return path;
}

}  // namespace

std::int64_t size_of(std::string_view dtype) {
  for (const auto& [name, bytes] : dtypes) {
    if (name == dtype) return bytes;
  }
  return 0;
}

std::int64_t checked_size(std::span<const std::int64_t> shape, std::int64_t item) {
  std::int64_t room = std::numeric_limits<std::int64_t>::max() / item;
  std::int64_t size = 1;
  for (const std::int64_t extent : shape) {
    if (extent > room) throw file_error("the size of shape " + to_string(shape) + " overflows");
    room /= std::max<std::int64_t>(extent, 1);
    size *= extent;
  }
  return size;
}

entries parse(std::span<const std::byte> file) {
  if (file.size() < length_bytes) throw file_error("truncated: shorter than a header's length");
  const std::uint64_t length = read_length(file);
  if (length > file.size() - length_bytes) {
    throw file_error("truncated: the header needs " + std::to_string(length) + " bytes, " +
                     std::to_string(file.size() - length_bytes) + " follow");
  }
  if (length > max_header) throw file_error("the header is longer than 16 MiB");

  const auto text = file.subspan(length_bytes, static_cast<std::size_t>(length));
  const auto data = file.subspan(length_bytes + text.size());
  const std::string header(reinterpret_cast<const char*>(text.data()), text.size());
  if (!header.starts_with('{')) throw file_error("the header does not begin with '{'");
  // The parser would take a NUL for the end, whatever follows.
  if (const auto at = header.find('\0'); at != std::string::npos) {
    throw file_error("the header is not valid JSON at its byte " + std::to_string(at + 1) +
                     ", a NUL");
  }

  // Sorted by place, the tensors must tile the data: no gap, no overlap, nothing left over.
  std::vector<std::pair<std::pair<std::int64_t, std::int64_t>, std::string>> places;
  entries found;
  for (auto& [name, declared] : parse_header(header)) {
    const std::int64_t size = size_as_declared(name, declared);
    const auto& offsets = declared.data_offsets;
    if (offsets.size() != 2 || offsets[0] > offsets[1] ||
        static_cast<std::uint64_t>(offsets[1]) > data.size()) {
      throw file_error("tensor " + printable(name) + ": data_offsets " + to_string(offsets) +
                       " do not lie in the " + std::to_string(data.size()) + " bytes of data");
    }
    if (offsets[1] - offsets[0] != size) {
      throw file_error("tensor " + printable(name) + ": shape " + to_string(declared.shape) +
                       " of " + declared.dtype + " takes " + std::to_string(size) +
                       " bytes, data_offsets " + to_string(offsets) + " hold " +
                       std::to_string(offsets[1] - offsets[0]));
    }
    const auto bytes =
        data.subspan(static_cast<std::size_t>(offsets[0]), static_cast<std::size_t>(size));
    found.emplace(name, entry{declared.dtype, declared.shape, bytes});
    places.push_back({{offsets[0], offsets[1]}, name});
  }
  std::sort(places.begin(), places.end());
  std::int64_t end = 0;
  for (const auto& [place, name] : places) {
    if (place.first != end) {
      throw file_error("tensor " + printable(name) + " begins at byte " +
                       std::to_string(place.first) + " of the data, the one before it ends at " +
                       std::to_string(end));
    }
    end = place.second;
  }
  if (static_cast<std::size_t>(end) != data.size()) {
    throw file_error("the tensors end at byte " + std::to_string(end) + " of " +
                     std::to_string(data.size()) + " bytes of data");
  }
  return found;
}

std::vector<std::byte> read_bytes(const std::filesystem::path& path) {
  std::error_code status;
  if (!std::filesystem::is_regular_file(path, status)) {
    throw file_error(status ? status.message() : "not a regular file");
  }
  const auto size = std::filesystem::file_size(path, status);
  std::ifstream stream(path, std::ios::binary);
  if (status || !stream) throw file_error("cannot be opened");
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  stream.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (stream.gcount() != static_cast<std::streamsize>(size)) throw file_error("cannot be read");
  return bytes;
}

std::vector<std::byte> header_of(std::span<const tensor> tensors) {
  auto header = nlohmann::ordered_json::object();
  std::int64_t data = 0;
  for (const tensor& t : tensors) {
    const std::int64_t item = size_of(t.dtype), end = data + checked_size(t.shape, item) * item;
    header[t.name] = {{"dtype", t.dtype}, {"shape", t.shape}, {"data_offsets", {data, end}}};
    data = end;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');

  std::vector<std::byte> file;
  for (std::size_t i = 0; i < length_bytes; ++i) {
    file.push_back(static_cast<std::byte>(text.size() >> (8 * i) & 0xff));
  }
  const auto as_bytes = std::as_bytes(std::span(text));
  file.insert(file.end(), as_bytes.begin(), as_bytes.end());
  return file;
}

std::vector<std::byte> serialize(std::span<const tensor> tensors) {
  std::vector<std::byte> file = header_of(tensors);
  std::size_t size = file.size();
  for (const tensor& t : tensors) size += t.bytes.size();
  file.reserve(size);
  for (const tensor& t : tensors) file.insert(file.end(), t.bytes.begin(), t.bytes.end());
  return file;
}

// The rename would replace a link, a device or a pipe by a file.
new_file::new_file(const std::filesystem::path& asked) : path_(without_links(asked)) {
  std::error_code status;
  if (std::filesystem::exists(path_, status) && !std::filesystem::is_regular_file(path_, status)) {
    throw file_error("exists and is not a regular file");
  }
  part_ = path_.string() + ".part" + std::to_string(::getpid());
  begin_unfinished(part_);
  stream_ = std::fopen(part_.c_str(), "wbx");  // x: never onto another's file
  if (stream_ != nullptr) return;
  unfinished = nullptr;
  throw file_error("cannot create " + printable(part_) + ": " + std::strerror(errno));
}

new_file::~new_file() {
  if (stream_ != nullptr) {
    std::fclose(stream_);
    std::remove(part_.c_str());
  }
  unfinished = nullptr;
}

void new_file::fail(const std::string& what) {
  const file_error error(what + ": " + std::strerror(errno));
  std::remove(part_.c_str());
  throw error;
}

void new_file::append(std::span<const std::byte> bytes) {
  if (bytes.empty() || std::fwrite(bytes.data(), 1, bytes.size(), stream_) == bytes.size()) return;
  throw file_error(std::string("cannot be written: ") + std::strerror(errno));
}

void new_file::complete() {
  const bool written = std::fclose(std::exchange(stream_, nullptr)) == 0;
  if (!written) fail("cannot be written");
  if (std::rename(part_.c_str(), path_.c_str()) != 0) fail("cannot be replaced");
}

void write_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  new_file file(path);
  file.append(bytes);
  file.complete();
}

std::string printable(std::string_view name) {
  constexpr std::size_t longest = 80;
  const std::string text =
      name.size() > longest ? std::string(name.substr(0, longest)) + "..." : std::string(name);
  return nlohmann::json(text).dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

std::string to_string(std::span<const std::int64_t> shape) {
  std::string text = "[";
  for (const std::int64_t extent : shape) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(extent);
  }
  return text + "]";
}

}  // namespace replay::safetensors
