#include "svg.hpp"

#include <fstream>
#include <stdexcept>

#include "progress.hpp"

namespace char_lm {
namespace {

std::string escaped(std::string_view words) {
  std::string out;
  for (char c : words) switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  return out;
}

std::string attribute(std::string_view name, std::string_view value) {
  std::string text(" ");
  text.append(name).append("=\"").append(value).append("\"");
  return text;
}

std::string attribute(std::string_view name, double value) {
  return attribute(name, text_of("%.6g", value));
}

}  // namespace

svg::svg(double width, double height) : width_(width), height_(height) {
  rectangle(0, 0, width, height, "#ffffff");
}

void svg::rectangle(double x, double y, double width, double height, std::string_view fill) {
  body_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) +
           attribute("height", height) + attribute("fill", fill) + "/>\n";
}

void svg::frame(double x, double y, double width, double height) {
  body_ += "<rect" + attribute("x", x) + attribute("y", y) + attribute("width", width) +
           attribute("height", height) + attribute("fill", "none") +
           attribute("stroke", "#444444") + "/>\n";
}

void svg::line(point from, point to, std::string_view colour, double width,
               std::string_view dashes) {
  body_ += "<line" + attribute("x1", from.first) + attribute("y1", from.second) +
           attribute("x2", to.first) + attribute("y2", to.second) + attribute("stroke", colour) +
           attribute("stroke-width", width) +
           (dashes.empty() ? "" : attribute("stroke-dasharray", dashes)) + "/>\n";
}

void svg::curve(const std::vector<point>& points, std::string_view colour, double width) {
  std::string list;
  for (const auto& [x, y] : points) list += text_of("%.1f,%.1f ", x, y);
  body_ += "<polyline" + attribute("points", list) + attribute("fill", "none") +
           attribute("stroke", colour) + attribute("stroke-width", width) +
           attribute("stroke-linejoin", "round") + "/>\n";
}

void svg::dot(point centre, double radius, std::string_view colour) {
  body_ += "<circle" + attribute("cx", centre.first) + attribute("cy", centre.second) +
           attribute("r", radius) + attribute("fill", colour) + "/>\n";
}

void svg::text(double x, double y, std::string_view words, const font& f) {
  body_ +=
      "<text" + attribute("x", x) + attribute("y", y) + attribute("font-size", f.size) +
      attribute("text-anchor", f.anchor) + attribute("fill", f.colour) +
      (f.bold ? attribute("font-weight", "bold") : "") +
      (f.fixed_width ? attribute("font-family", "DejaVu Sans Mono, monospace") : "") +
      (f.turn != 0 ? attribute("transform", text_of("rotate(%g %.2f %.2f)", f.turn, x, y)) : "") +
      ">" + escaped(words) + "</text>\n";
}

void svg::save(const std::filesystem::path& file) const {
  std::ofstream out(file);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\"" << attribute("width", width_)
      << attribute("height", height_) << attribute("viewBox", text_of("0 0 %g %g", width_, height_))
      << attribute("font-family", "DejaVu Sans, Helvetica, Arial, sans-serif") << ">\n"
      << body_ << "</svg>\n";
  if (!out.flush()) throw std::runtime_error("cannot write the picture " + file.string());
}

}  // namespace char_lm
