#include "safetensors_header.hpp"

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "safetensors.hpp"

namespace replay::safetensors {
namespace {

using nlohmann::json;

// Reads {name: {field: string | [integer...]}} event by event. A DOM would keep one of two equal
// keys silently, and would take memory for whatever a hostile header nests.
class reader final : public json::json_sax_t {
 public:
  std::map<std::string, declaration, std::less<>> declared;

  bool start_object(std::size_t /*size*/) override {
    if (depth_ > 1 || in_array_) fail("an object where none belongs");
    ++depth_;
    fields_.clear();
    return true;
  }

  bool end_object() override {
    if (depth_ == 2 && !in_metadata()) {
      for (const char* field : {"dtype", "shape", "data_offsets"}) {
        if (!fields_.contains(field)) fail(std::string("no ") + field);
      }
    }
    --depth_;
    return true;
  }

  bool key(std::string& text) override {
    if (depth_ == 1) {
      name_ = text;
      if (!names_.insert(text).second) fail("the name occurs twice");
      if (!in_metadata()) current_ = &declared[text];
      return true;
    }
    if (!in_metadata() && text != "dtype" && text != "shape" && text != "data_offsets") {
      fail("unknown field " + printable(text));
    }
    field_ = text;
    if (!fields_.insert(text).second) fail("the field " + printable(text) + " occurs twice");
    return true;
  }

  bool string(std::string& text) override {
    if (depth_ != 2 || in_array_) fail("a string where none belongs");
    if (in_metadata()) return true;
    if (field_ != "dtype") fail(field_ + " is not an array");
    current_->dtype = text;
    return true;
  }

  bool start_array(std::size_t /*size*/) override {
    if (depth_ != 2 || in_array_ || in_metadata() || field_ == "dtype") {
      fail("an array where none belongs");
    }
    in_array_ = true;
    return true;
  }

  bool end_array() override {
    in_array_ = false;
    return true;
  }

  bool number_unsigned(std::uint64_t value) override {
    if (!in_array_) fail("a number where none belongs");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      fail(field_ + " holds a number of 2^63 or more");
    }
    auto& list = field_ == "shape" ? current_->shape : current_->data_offsets;
    if (list.size() == max_list) fail(field_ + " is too long");
    list.push_back(static_cast<std::int64_t>(value));
    return true;
  }

  bool number_integer(std::int64_t /*value*/) override { fail("a negative number"); }
  bool number_float(double, const std::string& text) override {
    fail("the number " + printable(text) + " is not an integer in [0, 2^63)");
  }
  bool null() override { fail("null where none belongs"); }
  bool boolean(bool /*value*/) override { fail("a boolean where none belongs"); }
  bool binary(json::binary_t& /*value*/) override { fail("binary data"); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const json::exception& /*error*/) override {
    throw file_error("the header is not valid JSON at its byte " + std::to_string(position));
  }

 private:
  static constexpr std::size_t max_list = 32;  // more dimensions than any operand has

  bool in_metadata() const { return name_ == "__metadata__"; }

  [[noreturn]] void fail(const std::string& what) const {
    throw file_error("the header" + (depth_ > 0 ? ", " + printable(name_) : std::string()) + ": " +
                     what);
  }

  int depth_ = 0;
  bool in_array_ = false;
  std::string name_;
  std::string field_;
  std::set<std::string, std::less<>> names_;
  std::set<std::string, std::less<>> fields_;
  declaration* current_ = nullptr;
};

}  // namespace

std::map<std::string, declaration, std::less<>> parse_header(std::string_view text) {
  reader header;
  json::sax_parse(text.begin(), text.end(), &header);
  return std::move(header.declared);
}

}  // namespace replay::safetensors
