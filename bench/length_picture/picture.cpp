#include "picture.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <stdexcept>

namespace bench {
namespace {

constexpr double width = 820, height = 560, left = 92, right = 690, top = 64, bottom = 490;
constexpr const char* colours[] = {"#1f77b4", "#2ca02c", "#d62728", "#9467bd"};

template <class... A>
std::string text(const char* format, A... arguments) {
  char line[512];
  std::snprintf(line, sizeof line, format, arguments...);
  return line;
}

// A step of lengths is a factor of 2, one of times a factor of 10.
struct log_axes {
  double shortest, longest, fastest, slowest;

  explicit log_axes(const std::vector<curve>& curves)
      : shortest(1e300), longest(0), fastest(1e300), slowest(0) {
    for (const curve& c : curves)
      for (const point& p : c.points) {
        shortest = std::min(shortest, p.length), longest = std::max(longest, p.length);
        fastest = std::min(fastest, p.seconds), slowest = std::max(slowest, p.seconds);
      }
    fastest = std::pow(10, std::floor(std::log10(fastest)));
    slowest = std::pow(10, std::ceil(std::log10(slowest)));
  }
  double x(double length) const {
    return left + (right - left) * std::log(length / shortest) / std::log(longest / shortest);
  }
  double y(double seconds) const {
    return bottom - (bottom - top) * std::log(seconds / fastest) / std::log(slowest / fastest);
  }
};

std::string time_label(double seconds) {
  if (seconds < 0.99e-3) return text("%g µs", std::round(seconds * 1e6));
  if (seconds < 0.99) return text("%g ms", std::round(seconds * 1e3));
  return text("%g s", seconds);
}

std::string line(double x1, double y1, double x2, double y2, const char* colour) {
  return text("<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x1, y1, x2,
              y2, colour);
}
std::string words(double x, double y, const char* anchor, const char* more, const std::string& w) {
  return text("<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\" %s>", x, y, anchor, more) + w +
         "</text>\n";
}

std::string grid(const log_axes& axes) {
  std::string out;
  for (double length = axes.shortest; length <= axes.longest * 1.01; length *= 2) {
    out += line(axes.x(length), top, axes.x(length), bottom, "#e2e2e2");
    out += words(axes.x(length), bottom + 22, "middle", "", text("%g", length));
  }
  for (double decade = axes.fastest; decade <= axes.slowest * 1.01; decade *= 10) {
    out += line(left, axes.y(decade), right, axes.y(decade), "#c4c4c4");
    out += words(left - 10, axes.y(decade) + 5, "end", "", time_label(decade));
    for (int i = 2; i < 10 && decade < axes.slowest * 0.99; ++i)
      out += line(left, axes.y(i * decade), right, axes.y(i * decade), "#efefef");
  }
  return out;
}

std::string drawn(const curve& c, const log_axes& axes, const char* colour) {
  std::string points, dots;
  for (const point& p : c.points) {
    points += text("%.1f,%.1f ", axes.x(p.length), axes.y(p.seconds));
    dots += text("<circle cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\" fill=\"%s\"/>\n", axes.x(p.length),
                 axes.y(p.seconds), colour);
  }
  return "<polyline points=\"" + points + "\" fill=\"none\" stroke=\"" + colour +
         "\" stroke-width=\"2\" stroke-linejoin=\"round\"/>\n" + dots;
}

// Beside the axes, from the slowest at the curves' ends down to the fastest.
std::string legend(const std::vector<curve>& curves) {
  std::string out;
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const double y = top + 12 + 24 * static_cast<double>(i);
    const char* colour = colours[i % std::size(colours)];
    out +=
        text("<line x1=\"%g\" y1=\"%g\" x2=\"%g\" y2=\"%g\" stroke=\"%s\" stroke-width=\"2\"/>\n",
             right + 16, y, right + 42, y, colour);
    out += text("<circle cx=\"%g\" cy=\"%g\" r=\"3.5\" fill=\"%s\"/>\n", right + 29, y, colour);
    out += words(right + 50, y + 5, "start", "", curves[i].mode);
  }
  return out;
}

}  // namespace

void draw_lengths(const std::string& file, const std::string& title,
                  const std::vector<curve>& curves) {
  const log_axes axes(curves);
  std::string body = grid(axes);
  for (std::size_t i = 0; i < curves.size(); ++i)
    body += drawn(curves[i], axes, colours[i % std::size(colours)]);
  body +=
      text("<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" fill=\"none\" stroke=\"#444\"/>\n",
           left, top, right - left, bottom - top);
  body += legend(curves);
  body += words(left, 36, "start", "font-size=\"17\" font-weight=\"bold\"", title);
  body += words((left + right) / 2, bottom + 50, "middle", "font-size=\"15\"", "length (tokens)");
  body +=
      words(0, 0, "middle",
            text("font-size=\"15\" transform=\"translate(24 %g) rotate(-90)\"", (top + bottom) / 2)
                .c_str(),
            "time of one call");

  std::ofstream out(file);
  out << text(
             "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%g\" height=\"%g\" "
             "viewBox=\"0 0 %g %g\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" "
             "font-size=\"13\" fill=\"#222\">\n",
             width, height, width, height)
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
      << body << "</svg>\n";
  if (!out.flush()) throw std::runtime_error("cannot write the picture " + file);
}

void write_table(const std::string& file, const std::vector<curve>& curves) {
  std::ofstream out(file);
  out << "mode,length,seconds\n";
  for (const curve& c : curves)
    for (const point& p : c.points)
      out << c.mode << ',' << p.length << ',' << text("%.4g", p.seconds) << '\n';
  if (!out.flush()) throw std::runtime_error("cannot write the table " + file);
}

}  // namespace bench
