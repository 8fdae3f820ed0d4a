// Writes JSON: no more than this program needs, so that it builds where there is nothing but
// compilers.
#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <type_traits>
#include <vector>

namespace bench_cuda {

class json {
 public:
  /// A value inside a list, or a member of an object.
  void open(char bracket) { comma(), text_ += bracket, first_ = true; }
  void open(const char* name, char bracket) { key(name), text_ += bracket, first_ = true; }
  void close(char bracket) { text_ += bracket, first_ = false; }

  template <class T>
  void member(const char* name, const T& x) {
    key(name);
    value(x);
  }
  const std::string& text() const { return text_; }

 private:
  void comma() {
    if (!first_ && !text_.empty()) text_ += ",\n";
    first_ = false;
  }
  void key(const char* name) {
    comma();
    value(std::string(name));
    text_ += ": ";
  }
  template <class T>
  void value(const T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      text_ += x ? "true" : "false";
    } else if constexpr (std::is_integral_v<T>) {
      text_ += std::to_string(x);
    } else if constexpr (std::is_floating_point_v<T>) {
      char digits[40];
      std::snprintf(digits, sizeof digits, "%.9g", static_cast<double>(x));
      text_ += std::isfinite(x) ? digits : "null";
    } else if constexpr (std::is_convertible_v<T, std::string>) {
      quote(x);
    } else {
      text_ += '[';
      for (std::size_t i = 0; i < x.size(); ++i) {
        if (i > 0) text_ += ", ";
        value(x[i]);
      }
      text_ += ']';
    }
  }
  void quote(const std::string& s) {
    text_ += '"';
    for (const char c : s) {
      if (c == '"' || c == '\\') text_ += '\\';
      text_ += c >= 0 && c < ' ' ? ' ' : c;
    }
    text_ += '"';
  }

  std::string text_;
  bool first_ = true;
};

}  // namespace bench_cuda
