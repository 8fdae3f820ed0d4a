#include "results.hpp"

#include <cstdio>
#include <fstream>

#include "pictures.hpp"
#include "progress.hpp"
#include "streaming.hpp"

namespace char_lm {
namespace {

std::string printable(const std::string& text) {
  std::string out;
  for (char c : text) out.push_back(c == '\n' || (c >= ' ' && c < 127) ? c : '?');
  return out;
}

// A sentence's worth of held-out text: where a sentence begins, or else a word.
std::string sentence_of(const corpus& text) {
  constexpr std::size_t length = 48;
  const bytes piece = text.held_out_piece(text.pieces() / 2);
  const std::string words(piece.begin(), piece.end());
  std::size_t begin = words.find(". ");
  if (begin == std::string::npos || begin + 2 * length > words.size()) begin = words.find(' ');
  begin = words.find_first_not_of(". \t\r\n", begin == std::string::npos ? 0 : begin);
  return words.substr(begin == std::string::npos ? 0 : begin, length);
}

void show_modes(const options& o, const corpus& text, model& m, const flat& theta) {
  const index sequences = 4, time = static_cast<index>(corpus::piece / 2);
  std::vector<std::uint8_t> passage;
  for (std::size_t i = 0; i < static_cast<std::size_t>(sequences); ++i) {
    const bytes piece = text.held_out_piece(i % text.pieces());
    passage.insert(passage.end(), piece.begin(), piece.begin() + time);
  }
  m.plan({sequences, time}, o.how());
  m.forward(theta, passage);
  std::printf("\nthe %s of block 1 on %lld x %lld held-out bytes, milliseconds %s\n",
              o.run.recurrence.c_str(), static_cast<long long>(sequences),
              static_cast<long long>(time),
              o.device ? "with copies to the device and back"
                       : text_of("with %d threads", o.threads).c_str());
  std::printf("  %-10s %9s %20s   %s\n", "mode", "forward", "forward + backward",
              "largest difference from recurrent");
  for (const mode_time& t : m.mixing(0).time_all_modes(o.how()))
    std::printf("  %-10s %9.2f %20.2f   %.1e\n", t.mode.c_str(), t.forward, t.forward_and_backward,
                t.difference);
}

}  // namespace

void show_results(const options& o, const corpus& text, const training_state& s,
                  double trigram_bits) {
  blueprint plan(o.run.seed);
  model m(plan, o.run.shape());

  const generated g = generate(m, s.theta, o.prompt, o.sample, o.temperature, o.run.seed);
  std::printf("\n%d bytes by step(), %.0f microseconds each, temperature %g:\n", o.sample,
              1e6 * g.seconds_a_byte, o.temperature);
  std::printf("----\n%s\n----\n", printable(o.prompt + g.text).c_str());
  std::ofstream(o.out / "sample.txt") << o.prompt << g.text;

  const agreement a = compare_with_steps(m, s.theta, text.held_out_piece(0), o.how());
  std::printf(
      "\nlogits of step() and of the %s mode on %zu held-out bytes: largest difference %.1e "
      "(largest logit %.1f)\n",
      o.run.mode.c_str(), corpus::piece, a.difference, a.largest);
  show_modes(o, text, m, s.theta);

  const std::string name = o.run.recurrence + ", " + o.run.mode + " mode";
  draw_loss(o.out / "loss.svg", s, trigram_bits, "Learning curve: " + name);
  const std::string sentence = sentence_of(text);
  const index depth = o.run.depth - 1;
  m.plan({1, static_cast<index>(sentence.size())}, o.how());
  m.forward(s.theta,
            bytes(reinterpret_cast<const std::uint8_t*>(sentence.data()), sentence.size()));
  const std::string unit =
      o.run.recurrence == "selective_scan" ? "mean over channel group" : "head";
  draw_attention(o.out / "attention.svg", m.mixing(depth).attention_maps(), unit, sentence,
                 text_of("Surrogate attention of %s, block %d of %d", o.run.recurrence.c_str(),
                         o.run.depth, o.run.depth));
  std::printf("\nwritten to %s: loss.svg, attention.svg, sample.txt, checkpoint.bin\n",
              o.out.string().c_str());
}

}  // namespace char_lm
