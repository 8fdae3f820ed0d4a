// The text: which files, which of it is held out, and the order in which training reads it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "random.hpp"

namespace char_lm {

using bytes = std::span<const std::uint8_t>;

/// Text split into training text and held-out pieces. Pieces of `piece` bytes are held out at equal
/// distances, so that every kind of text is in both. Licences quote each other: what a held-out
/// piece shares with the rest, 32 characters or more at a time (blanks of any kind count as one),
/// is dropped from the training text, so that nothing held out has been read before.
struct corpus {
  static constexpr std::size_t piece = 1024;

  std::vector<std::uint8_t> train, held_out;  // held_out: whole pieces one after the other
  std::size_t dropped = 0;
  std::uint64_t fingerprint = 0;  // of both parts

  std::size_t pieces() const { return held_out.size() / piece; }
  bytes held_out_piece(std::size_t i) const { return bytes(held_out).subspan(i * piece, piece); }
};

/// The licence texts of a Debian system: regular files of /usr/share/common-licenses, by name.
std::vector<std::filesystem::path> default_files();

/// Throws std::runtime_error when a file cannot be read or there is not enough text.
corpus read_corpus(const std::vector<std::filesystem::path>& files);

/// Training windows in a new random order and with new borders in every epoch.
class window_order {
 public:
  /// All that is needed to go on from here.
  struct place {
    std::uint64_t random = 0;    // the generator's state when this epoch began
    std::uint64_t position = 0;  // windows of this epoch already read
  };

  /// Throws std::runtime_error when there is not one window of `window` bytes.
  window_order(std::size_t text, std::size_t window, std::uint64_t seed);

  /// The first byte of the next window.
  std::size_t next();

  place where() const { return {epoch_began_, position_}; }
  void go_to(const place& p);

 private:
  void begin_epoch();

  std::size_t text_, window_;
  splitmix random_;
  std::uint64_t epoch_began_ = 0, position_ = 0;
  std::vector<std::size_t> starts_;
};

/// FNV-1a; begin with `hash` of the text before.
std::uint64_t fnv1a(std::span<const std::uint8_t> data, std::uint64_t hash = 0xcbf29ce484222325u);

}  // namespace char_lm
