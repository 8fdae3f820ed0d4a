#include <algorithm>
#include <cmath>

#include "pictures.hpp"
#include "progress.hpp"
#include "svg.hpp"

namespace char_lm {
namespace {

constexpr double cell = 11, gap = 46, margin = 56, head_room = 96;

// Blue below 0, white at 0, red above, as far as |value| = 1.
std::string colour_of(double value) {
  struct rgb {
    double r, g, b;
  };
  static constexpr rgb white{255, 255, 255};
  static constexpr rgb red[] = {white, {244, 165, 130}, {214, 96, 77}, {128, 10, 30}};
  static constexpr rgb blue[] = {white, {146, 197, 222}, {67, 147, 195}, {5, 48, 97}};
  const rgb* ramp = value < 0 ? blue : red;
  const double place = std::min(1.0, std::abs(value)) * 3;
  const int i = std::min(2, static_cast<int>(place));
  const double f = place - i;
  const auto mix = [&](double from, double to) {
    return static_cast<int>(std::lround(from + f * (to - from)));
  };
  const rgb a = ramp[i], b = ramp[i + 1];
  return text_of("#%02x%02x%02x", static_cast<unsigned>(mix(a.r, b.r)),
                 static_cast<unsigned>(mix(a.g, b.g)), static_cast<unsigned>(mix(a.b, b.b)));
}

std::string label_of(char c) {
  if (c == ' ') return "\u00b7";   // middle dot
  if (c == '\n') return "\u21b5";  // return arrow
  return std::string(1, c > ' ' && c < 127 ? c : '?');
}

void draw_panel(svg& picture, double x, double y, const matrix& map, const std::string& sentence,
                const std::string& name) {
  const index n = map.rows();
  const double side = cell * static_cast<double>(n);
  picture.text(x, y - 12, name, {.size = 14, .bold = true});
  for (index t = 0; t < n; ++t) {
    const double largest =
        std::max(1e-30, static_cast<double>(map.row(t).head(t + 1).cwiseAbs().maxCoeff()));
    for (index s = 0; s <= t; ++s) {
      const std::string colour = colour_of(static_cast<double>(map(t, s)) / largest);
      if (colour != "#ffffff")
        picture.rectangle(x + cell * static_cast<double>(s), y + cell * static_cast<double>(t),
                          cell, cell, colour);
    }
    const std::string label = label_of(sentence[static_cast<std::size_t>(t)]);
    const double along = cell * (static_cast<double>(t) + 0.5);
    const svg::font f{.size = 10, .anchor = "middle", .fixed_width = true};
    picture.text(x - 9, y + along + 3.5, label, f);
    picture.text(x + along, y + side + 13, label, f);
  }
  picture.frame(x, y, side, side);
}

}  // namespace

void draw_attention(const std::filesystem::path& file, const std::vector<matrix>& maps,
                    const std::string& unit, const std::string& sentence,
                    const std::string& title) {
  const auto panels = static_cast<int>(std::min<std::size_t>(maps.size(), 9));
  const int across = static_cast<int>(std::ceil(std::sqrt(panels)));
  const int down = (panels + across - 1) / across;
  const double side = cell * static_cast<double>(sentence.size());
  const double width = margin + across * (side + gap) + 70;
  const double height = head_room + down * (side + gap + 24) - 20;

  svg picture(width, height);
  picture.text(margin, 30, title, {.size = 17, .bold = true});
  picture.text(margin, 50,
               "Row: the character at which the output is read. Column: the character it draws on. "
               "Each row is scaled to a largest weight of 1.",
               {.size = 12, .colour = "#555555"});
  for (int p = 0; p < panels; ++p)
    draw_panel(picture, margin + (p % across) * (side + gap),
               head_room + (p / across) * (side + gap + 24), maps[static_cast<std::size_t>(p)],
               sentence, text_of("%s %d of %zu", unit.c_str(), p + 1, maps.size()));

  const double x = margin + across * (side + gap) - 14, bar = std::min(side, 300.0);
  constexpr int steps = 101;
  for (int i = 0; i < steps; ++i)
    picture.rectangle(x, head_room + bar * i / steps, 16, bar / steps + 0.5,
                      colour_of(1 - 2.0 * i / (steps - 1)));
  picture.frame(x, head_room, 16, bar);
  for (int i = 0; i <= 4; ++i)
    picture.text(x + 22, head_room + bar * i / 4 + 4,
                 text_of(i == 2 ? "%.1f" : "%+.1f", 1 - 0.5 * i), {.size = 11});
  picture.save(file);
}

}  // namespace char_lm
