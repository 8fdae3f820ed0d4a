#include <algorithm>
#include <cmath>
#include <numbers>

#include "pictures.hpp"
#include "progress.hpp"
#include "svg.hpp"

namespace char_lm {
namespace {

constexpr double left = 70, right = 870, top = 56, bottom = 480;  // the axes' box
constexpr auto raw_colour = "#b9cfe8", train_colour = "#2166ac", held_out_colour = "#d6604d",
               trigram_colour = "#444444";

// 1, 2 or 5 times a power of ten, for at most `most` steps in the range.
double tick_step(double range, int most) {
  const double raw = std::max(range, 1e-9) / most;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (double m : {1.0, 2.0, 5.0})
    if (m * power >= raw) return m * power;
  return 10 * power;
}

struct axes {
  double x_max, y_min, y_max;

  svg::point at(double step, double bits) const {
    const double y = std::clamp(bits, y_min, y_max);
    return {left + (right - left) * step / x_max,
            bottom - (bottom - top) * (y - y_min) / (y_max - y_min)};
  }
  void draw(svg& picture) const {
    const double dx = tick_step(x_max, 8), dy = tick_step(y_max - y_min, 8);
    for (double x = 0; x <= x_max * 1.0001; x += dx) {
      const auto p = at(x, y_min);
      picture.line({p.first, top}, {p.first, bottom + 5}, "#e4e4e4");
      picture.text(p.first, bottom + 22, text_of("%g", x), {.anchor = "middle"});
    }
    for (double i = std::ceil(y_min / dy - 1e-9); i * dy <= y_max * 1.0001; ++i) {
      const auto p = at(0, i * dy);
      picture.line({left - 5, p.second}, {right, p.second}, "#e4e4e4");
      picture.text(left - 10, p.second + 4.5, text_of("%g", i * dy), {.anchor = "end"});
    }
    picture.text((left + right) / 2, bottom + 48, "training step",
                 {.size = 14, .anchor = "middle"});
    picture.text(22, (top + bottom) / 2, "bits per byte",
                 {.size = 14, .anchor = "middle", .turn = -90});
  }
};

}  // namespace

void draw_loss(const std::filesystem::path& file, const training_state& state, double trigram_bits,
               const std::string& title) {
  std::vector<double> bits;
  for (float nats : state.losses) bits.push_back(static_cast<double>(nats) / std::numbers::ln2);
  double lowest = trigram_bits;
  for (double b : bits) lowest = std::min(lowest, b);
  for (const auto& m : state.held_out) lowest = std::min(lowest, m.bits);
  // The first steps fall from 8 bits; the picture is about what happens round the trigram.
  const double y_max = std::ceil(2 * std::min(4.0, 1.6 * trigram_bits)) / 2;
  const axes a{std::max<double>(1, static_cast<double>(state.step)),
               std::floor(2 * std::min(lowest, y_max - 1)) / 2, y_max};

  svg picture(900, 550);
  picture.text(left, 32, title, {.size = 17, .bold = true});
  a.draw(picture);

  std::vector<svg::point> raw, smooth, held_out;
  const double memory = std::max(1.0, static_cast<double>(bits.size()) / 60);
  double mean = 0, weight = 0;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    mean += (bits[i] - mean) / std::min(static_cast<double>(i) + 1, memory);
    weight = static_cast<double>(i) + 1;
    if (bits[i] <= y_max) raw.push_back(a.at(weight, bits[i]));
    if (mean <= y_max) smooth.push_back(a.at(weight, mean));
  }
  for (const auto& m : state.held_out)
    if (m.bits <= y_max) held_out.push_back(a.at(static_cast<double>(m.step), m.bits));
  picture.curve(raw, raw_colour, 1);
  picture.curve(smooth, train_colour, 2);
  picture.line(a.at(0, trigram_bits), a.at(a.x_max, trigram_bits), trigram_colour, 1.5, "7 5");
  picture.curve(held_out, held_out_colour, 2);
  for (const auto& p : held_out) picture.dot(p, 4, held_out_colour);
  picture.frame(left, top, right - left, bottom - top);

  // Legend, in the upper right, which the falling curves leave free.
  const double x = right - 320, y = top + 14;
  picture.rectangle(x, y, 306, 92, "#ffffff");
  picture.frame(x, y, 306, 92);
  const auto entry = [&](int row, auto colour, const char* dashes, const std::string& words) {
    const double middle = y + 18 + 18.5 * row;
    picture.line({x + 12, middle}, {x + 46, middle}, colour, 2, dashes);
    picture.text(x + 56, middle + 4.5, words, {});
  };
  entry(0, raw_colour, "", "training loss of a step");
  entry(1, train_colour, "", "training loss, running mean");
  entry(2, held_out_colour, "",
        state.held_out.empty()
            ? std::string("held-out text")
            : text_of("held-out text, at the end %.3f", state.held_out.back().bits));
  if (!state.held_out.empty()) picture.dot({x + 29, y + 18 + 18.5 * 2}, 4, held_out_colour);
  entry(3, trigram_colour, "7 5", text_of("trigram on held-out text %.3f", trigram_bits));
  picture.save(file);
}

}  // namespace char_lm
