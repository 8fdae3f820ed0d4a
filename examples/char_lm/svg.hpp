// A small writer of SVG pictures. Lengths are pixels, y grows downwards.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace char_lm {

class svg {
 public:
  using point = std::pair<double, double>;

  svg(double width, double height);

  void rectangle(double x, double y, double width, double height, std::string_view fill);
  void frame(double x, double y, double width, double height);
  void line(point from, point to, std::string_view colour, double width = 1,
            std::string_view dashes = "");
  void curve(const std::vector<point>& points, std::string_view colour, double width);
  void dot(point centre, double radius, std::string_view colour);

  struct font {
    double size = 13;
    std::string_view anchor = "start";  // or middle, end
    double turn = 0;                    // degrees, about (x, y)
    bool bold = false, fixed_width = false;
    std::string_view colour = "#222222";
  };
  void text(double x, double y, std::string_view words, const font& f);

  /// Throws std::runtime_error when the file cannot be written.
  void save(const std::filesystem::path& file) const;

 private:
  std::string body_;
  double width_, height_;
};

}  // namespace char_lm
