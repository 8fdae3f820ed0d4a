#include "over_ranks.hpp"

#include <algorithm>
#include <cstdio>
#include <new>
#include <optional>
#include <string_view>
#include <vector>

#include "mapped_file.hpp"
#include "replay.hpp"
#include "safetensors.hpp"

namespace replay {
namespace {

std::string words_of(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ? "out of memory" : error.what();
}

/// f() on every rank; where it has failed on any, all throw what the first of these says.
template <class F>
void together(const ranks& all, const std::string& file, F&& f) {
  std::string what;
  bool failed = false;
  try {
    f();
  } catch (const std::exception& error) {
    failed = true, what = file + ": " + words_of(error);
  }
  const int first = all.least(failed ? all.own() : all.count());
  if (first == all.count()) return;
  all.broadcast(first, what);
  throw rank_error(what);
}

/// What one rank has found wrong before anything is computed the library throws on all of them, in
/// words that begin with that rank. Anything else happens to one, and others wait for it.
void compute(const ranks& all, const options& asked, const job& mine) {
  try {
    mine.run();
  } catch (const std::exception& error) {
    const std::string what = asked.in + ": ";
    if (std::string_view(error.what()).starts_with("rank ")) throw rank_error(what + error.what());
    std::fprintf(stderr, "replay: %srank %d: %s\n", what.c_str(), all.own(),
                 words_of(error).c_str());
    all.abort(2);
  }
}

/// Results on their way into the file, some bytes at a time.
class writer {
 public:
  writer(const ranks& all, const piece& part) : all_(all), piece_(part), buffer_(at_a_time) {}

  /// `to`: of the first rank. What cannot be written is received all the same, and said at the end.
  void write(const partial_result& result, safetensors::new_file* to) {
    const auto axis = static_cast<std::size_t>(result.axis);
    std::int64_t outer = 1, inner = safetensors::size_of(result.held.dtype);
    for (std::size_t i = 0; i < result.whole.size(); ++i)
      if (i != axis) (i < axis ? outer : inner) *= result.whole[i];
    const std::int64_t extent = result.whole.empty() ? 1 : result.whole[axis];
    if (extent * inner == 0) return;
    for (std::int64_t i = 0; i < outer; ++i)
      for (int rank = 0; rank < all_.count(); ++rank) {
        const range part = piece_.written(result.by, extent, rank);
        const std::int64_t first =
            (i * result.from.count() + part.begin - result.from.begin) * inner;
        pass(rank, rank == all_.own() ? result.held.bytes.data() + first : nullptr,
             part.count() * inner, to);
      }
  }
  void check() const {
    if (!problem_.empty()) throw safetensors::file_error(problem_);
  }

 private:
  static constexpr std::size_t at_a_time = std::size_t{1} << 20;

  void pass(int from, const std::byte* own, std::int64_t bytes, safetensors::new_file* to) {
    const auto size = static_cast<std::size_t>(bytes);
    if (from != all_.own() && to == nullptr) return;
    for (std::size_t at = 0; at < size; at += at_a_time) {
      const std::size_t some = std::min(at_a_time, size - at);
      if (from != all_.own()) {
        all_.receive(from, {buffer_.data(), some});
        append(*to, {buffer_.data(), some});
      } else if (to != nullptr) {
        append(*to, {own + at, some});
      } else {
        all_.send(0, {own + at, some});
      }
    }
  }
  void append(safetensors::new_file& to, std::span<const std::byte> bytes) {
    if (!problem_.empty()) return;
    try {
      to.append(bytes);
    } catch (const safetensors::file_error& error) {
      problem_ = error.what();
    }
  }

  const ranks& all_;
  const piece& piece_;
  std::vector<std::byte> buffer_;
  std::string problem_;
};

}  // namespace

void run_over(const ranks& all, const options& asked) {
  std::optional<mapped_file> bytes;
  safetensors::entries file;
  piece part;
  std::unique_ptr<device_calls::device> place;
  std::optional<job> mine;
  together(all, asked.in, [&] {
    bytes.emplace(asked.in);
    file = safetensors::parse(bytes->bytes());
    part = piece_of(asked, file, all.own(), all.count());
    place = all.place(part.continues());
    mine.emplace(asked, file, part, *place);
  });
  compute(all, asked, *mine);

  std::optional<safetensors::new_file> out;
  std::optional<writer> write;
  std::vector<partial_result> results;
  together(all, asked.out, [&] {
    results = mine->results();
    write.emplace(all, part);
    if (all.own() != 0) return;
    std::vector<safetensors::tensor> whole;
    for (const partial_result& r : results)
      whole.push_back({r.held.name, r.held.dtype, r.whole, {}});
    out.emplace(asked.out);
    out->append(safetensors::header_of(whole));
  });
  for (const partial_result& r : results) write->write(r, out ? &*out : nullptr);
  together(all, asked.out, [&] {
    write->check();
    if (out) out->complete();
  });
}

}  // namespace replay
