#include "checkpoint.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "options_json.hpp"

namespace char_lm {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(training_state::measure, step, bits)

namespace {

constexpr std::string_view magic = "charlm01";

std::span<const std::uint8_t> as_bytes(const void* data, std::size_t size) {
  return {static_cast<const std::uint8_t*>(data), size};
}

class writer {
 public:
  void put(std::span<const std::uint8_t> data) {
    all_.insert(all_.end(), data.begin(), data.end());
  }
  void put(std::uint64_t n) { put(as_bytes(&n, sizeof n)); }
  template <class Floats>
  void floats(const Floats& f) {
    put(as_bytes(f.data(), static_cast<std::size_t>(f.size()) * sizeof(float)));
  }
  const std::vector<std::uint8_t>& all() const { return all_; }

 private:
  std::vector<std::uint8_t> all_;
};

class reader {
 public:
  explicit reader(std::span<const std::uint8_t> all) : rest_(all) {}

  std::span<const std::uint8_t> take(std::uint64_t count) {
    if (count > rest_.size()) throw checkpoint_error("it ends too early");
    const auto taken = rest_.first(static_cast<std::size_t>(count));
    rest_ = rest_.subspan(static_cast<std::size_t>(count));
    return taken;
  }
  std::uint64_t number() {
    std::uint64_t n = 0;
    std::memcpy(&n, take(sizeof n).data(), sizeof n);
    return n;
  }
  template <class Floats>
  void floats(Floats& f, std::uint64_t count) {
    if (count > rest_.size() / sizeof(float)) throw checkpoint_error("it ends too early");
    const auto data = take(count * sizeof(float));
    f.resize(static_cast<decltype(f.size())>(count));
    if (!data.empty()) std::memcpy(f.data(), data.data(), data.size());
  }
  bool done() const { return rest_.empty(); }

 private:
  std::span<const std::uint8_t> rest_;
};

checkpoint parse(std::span<const std::uint8_t> file) {
  constexpr std::size_t smallest = magic.size() + 2 * sizeof(std::uint64_t);
  if (file.size() < smallest || std::memcmp(file.data(), magic.data(), magic.size()) != 0)
    throw checkpoint_error("it is not a checkpoint of this program");
  const auto content = file.first(file.size() - sizeof(std::uint64_t));
  if (reader(file.last(sizeof(std::uint64_t))).number() != fnv1a(content))
    throw checkpoint_error("its checksum is wrong: it is damaged or cut short");

  reader in(content.subspan(magic.size()));
  const auto text = in.take(in.number());
  const auto header = nlohmann::json::parse(text.begin(), text.end());
  checkpoint c;
  training_state& s = c.state;
  c.run = header.at("run").get<run_options>();
  c.text_fingerprint = header.at("text").get<std::uint64_t>();
  s.step = header.at("step").get<std::int64_t>();
  s.total = header.at("total").get<std::int64_t>();
  s.data.random = header.at("random").get<std::uint64_t>();
  s.data.position = header.at("position").get<std::uint64_t>();
  s.held_out = header.at("held_out").get<std::vector<training_state::measure>>();
  const auto weights = header.at("weights").get<std::uint64_t>();
  in.floats(s.theta, weights);
  in.floats(s.optimizer.first, weights);
  in.floats(s.optimizer.second, weights);
  in.floats(s.losses, static_cast<std::uint64_t>(s.step));
  if (!in.done()) throw checkpoint_error("it is too long");
  return c;
}

}  // namespace

void save(const std::filesystem::path& file, const run_options& run, std::uint64_t text_fingerprint,
          const training_state& s) {
  const nlohmann::json header{{"run", run},
                              {"text", text_fingerprint},
                              {"step", s.step},
                              {"total", s.total},
                              {"random", s.data.random},
                              {"position", s.data.position},
                              {"held_out", s.held_out},
                              {"weights", s.theta.size()}};
  const std::string text = header.dump();
  writer out;
  out.put(as_bytes(magic.data(), magic.size()));
  out.put(text.size());
  out.put(as_bytes(text.data(), text.size()));
  out.floats(s.theta);
  out.floats(s.optimizer.first);
  out.floats(s.optimizer.second);
  out.floats(s.losses);
  out.put(fnv1a(out.all()));

  const std::filesystem::path beside = file.string() + ".new";
  std::ofstream stream(beside, std::ios::binary);
  stream.write(reinterpret_cast<const char*>(out.all().data()),
               static_cast<std::streamsize>(out.all().size()));
  stream.close();
  if (!stream) throw checkpoint_error("cannot write the checkpoint " + beside.string());
  std::filesystem::rename(beside, file);
}

checkpoint load(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw checkpoint_error("cannot read the checkpoint " + file.string());
  const std::vector<std::uint8_t> all(std::istreambuf_iterator<char>(stream), {});
  try {
    return parse(all);
  } catch (const std::exception& e) {  // ours, or of the JSON header
    throw checkpoint_error("the checkpoint " + file.string() + " is of no use: " + e.what());
  }
}

}  // namespace char_lm
