#include "text.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <unordered_set>
#include <utility>

namespace char_lm {
namespace {

constexpr std::size_t shared_length = 32;
constexpr std::size_t most_pieces = 24;

std::vector<std::uint8_t> read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in || !std::filesystem::is_regular_file(path))
    throw std::runtime_error("cannot read the text file " + path.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

// The text with every run of blanks as one space, and where each character came from.
struct plain_text {
  std::string characters;
  std::vector<std::size_t> origin;

  explicit plain_text(bytes text) {
    bool blank = true;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char c = static_cast<char>(text[i]);
      const bool is_blank = c == ' ' || (c >= '\t' && c <= '\r');
      if (is_blank && blank) continue;
      characters.push_back(is_blank ? ' ' : c);
      origin.push_back(i);
      blank = is_blank;
    }
  }
  std::size_t windows() const {
    return characters.size() < shared_length ? 0 : characters.size() - shared_length + 1;
  }
  std::size_t window_hash(std::size_t i) const {
    return std::hash<std::string_view>{}(std::string_view(characters).substr(i, shared_length));
  }
};

}  // namespace

std::uint64_t fnv1a(std::span<const std::uint8_t> data, std::uint64_t hash) {
  for (std::uint8_t byte : data) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

std::vector<std::filesystem::path> default_files() {
  const std::filesystem::path folder = "/usr/share/common-licenses";
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(folder))
    for (const auto& entry : std::filesystem::directory_iterator(folder))
      if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  return files;
}

corpus read_corpus(const std::vector<std::filesystem::path>& files) {
  std::vector<std::uint8_t> text;
  for (const auto& path : files) {
    const auto file = read_file(path);
    text.insert(text.end(), file.begin(), file.end());
  }
  const std::size_t pieces = text.size() / corpus::piece;
  if (pieces < 16)
    throw std::runtime_error("the text has " + std::to_string(text.size()) + " bytes; at least " +
                             std::to_string(16 * corpus::piece) + " are needed");

  const std::size_t every = std::max<std::size_t>(10, pieces / most_pieces);
  corpus c;
  std::vector<std::pair<std::size_t, std::size_t>> kept;  // [begin, end) between held-out pieces
  std::size_t end = 0;
  for (std::size_t i = every / 2; i < pieces; i += every) {
    const std::size_t begin = i * corpus::piece;
    kept.emplace_back(end, begin);
    end = begin + corpus::piece;
    c.held_out.insert(c.held_out.end(), text.data() + begin, text.data() + end);
  }
  kept.emplace_back(end, text.size());

  std::unordered_set<std::size_t> held_out_windows;
  for (std::size_t i = 0; i < c.pieces(); ++i) {
    const plain_text piece(c.held_out_piece(i));
    for (std::size_t w = 0; w < piece.windows(); ++w) held_out_windows.insert(piece.window_hash(w));
  }
  for (const auto& [begin, stop] : kept) {
    const bytes part = bytes(text).subspan(begin, stop - begin);
    const plain_text plain(part);
    std::vector<bool> shared(part.size());
    std::size_t marked = 0;  // everything shared before here is marked
    for (std::size_t w = 0; w < plain.windows(); ++w)
      if (held_out_windows.contains(plain.window_hash(w))) {
        const std::size_t last = plain.origin[w + shared_length - 1];
        for (std::size_t i = std::max(marked, plain.origin[w]); i <= last; ++i) shared[i] = true;
        marked = last + 1;
      }
    for (std::size_t i = 0; i < part.size(); ++i)
      if (shared[i])
        ++c.dropped;
      else
        c.train.push_back(part[i]);
  }
  c.fingerprint = fnv1a(c.held_out, fnv1a(c.train));
  return c;
}

window_order::window_order(std::size_t text, std::size_t window, std::uint64_t seed)
    : text_(text), window_(window), random_(seed) {
  if (text < 2 * window)
    throw std::runtime_error("the training text has " + std::to_string(text) +
                             " bytes, too few for windows of " + std::to_string(window));
  begin_epoch();
}

void window_order::begin_epoch() {
  epoch_began_ = random_.state();
  position_ = 0;
  starts_.clear();
  for (std::size_t s = random_.below(window_); s + window_ <= text_; s += window_)
    starts_.push_back(s);
  for (std::size_t i = starts_.size(); i > 1; --i)
    std::swap(starts_[i - 1], starts_[random_.below(i)]);
}

std::size_t window_order::next() {
  if (position_ == starts_.size()) begin_epoch();
  return starts_[position_++];
}

void window_order::go_to(const place& p) {
  random_ = splitmix(p.random);
  begin_epoch();
  if (p.position > starts_.size())
    throw std::runtime_error("the data position lies outside of the training text");
  position_ = p.position;
}

}  // namespace char_lm
