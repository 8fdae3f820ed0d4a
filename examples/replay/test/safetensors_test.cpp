// The reader takes what the writer makes, and nothing that lies about its own bytes.
#include "../safetensors.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace replay::safetensors {
namespace {

std::vector<std::byte> bytes_of(const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// A file with this header (its length in front) and `data` bytes behind it.
std::vector<std::byte> file_of(const std::string& header, std::size_t data) {
  std::string text;
  for (std::size_t i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes_of(text + header + std::string(data, '\0'));
}

std::string message_of(const std::vector<std::byte>& file) {
  try {
    parse(file);
  } catch (const file_error& error) {
    return error.what();
  }
  return "accepted";
}

std::string message_of(const std::string& header, std::size_t data) {
  return message_of(file_of(header, data));
}

std::vector<tensor> two_tensors() {
  std::vector<std::byte> four(16);
  for (std::size_t i = 0; i < four.size(); ++i) four[i] = static_cast<std::byte>(i + 1);
  return {{"q", "F32", {1, 2, 2}, four}, {"none", "BF16", {0, 3}, {}}, {"n", "I64", {2}, four}};
}

testing::AssertionResult says(const std::string& message, const std::string& words) {
  if (message.find(words) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "\"" << message << "\" does not say \"" << words << "\"";
}

TEST(Safetensors, ReadsBackWhatItWrites) {
  const auto written = two_tensors();
  const auto file = serialize(written);
  const entries read = parse(file);
  ASSERT_EQ(read.size(), written.size());
  for (const tensor& t : written) {
    const entry& e = read.at(t.name);
    EXPECT_EQ(e.dtype, t.dtype);
    EXPECT_EQ(e.shape, t.shape);
    EXPECT_EQ(std::vector<std::byte>(e.bytes.begin(), e.bytes.end()), t.bytes);
  }
}

TEST(Safetensors, DataIsAlignedToEightBytes) {
  for (std::size_t longer = 0; longer < 9; ++longer) {
    const std::vector<tensor> one{
        {std::string(1 + longer, 'q'), "F64", {1}, std::vector<std::byte>(8)}};
    const auto file = serialize(one);
    EXPECT_EQ(file.size() % 8, 0u);
    EXPECT_EQ(parse(file).begin()->second.bytes.data(), file.data() + file.size() - 8);
  }
}

TEST(Safetensors, TakesTheFormatsOtherForms) {
  EXPECT_EQ(message_of("{}", 0), "accepted");
  EXPECT_EQ(message_of("{}      ", 0), "accepted");
  EXPECT_EQ(message_of(R"({"__metadata__":{"format":"pt","dtype":"x"}})", 0), "accepted");
  EXPECT_EQ(message_of(R"({"b":{"data_offsets":[4,8],"shape":[],"dtype":"F32"},)"
                       R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                       8),
            "accepted");
}

TEST(Safetensors, TruncationAtEveryByteIsAnError) {
  const auto file = serialize(two_tensors());
  for (std::size_t size = 0; size < file.size(); ++size) {
    // A buffer of exactly this size, so that a sanitizer sees any read beyond it.
    const std::vector<std::byte> cut(file.begin(),
                                     file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(message_of(cut), "accepted") << size << " of " << file.size() << " bytes";
  }
  auto longer = file;
  longer.push_back(std::byte{});
  EXPECT_NE(message_of(longer), "accepted");
}

TEST(Safetensors, EveryChangedByteIsAnErrorOrASoundFile) {
  const auto file = serialize(two_tensors());
  for (std::size_t at = 0; at < file.size(); ++at) {
    for (const int flip : {1, 2, 4, 8, 16, 32, 64, 128, 3, 5, 12, 127, 255}) {
      auto changed = file;
      changed[at] ^= static_cast<std::byte>(flip);
      try {
        for (const auto& [name, e] : parse(changed)) {
          EXPECT_EQ(checked_size(e.shape, size_of(e.dtype)) * size_of(e.dtype),
                    static_cast<std::int64_t>(e.bytes.size()));
          if (e.bytes.empty()) continue;
          EXPECT_GE(e.bytes.data(), changed.data() + 8);
          EXPECT_LE(e.bytes.data() + e.bytes.size(), changed.data() + changed.size());
        }
      } catch (const file_error&) {
      }
    }
  }
}

TEST(Safetensors, RejectsABadHeaderLength) {
  EXPECT_TRUE(says(message_of(bytes_of("")), "truncated"));
  EXPECT_TRUE(says(message_of(bytes_of("1234567")), "truncated"));
  EXPECT_TRUE(says(message_of(bytes_of(std::string(8, '\xff') + "{}")), "truncated"));
  EXPECT_TRUE(says(message_of(bytes_of(std::string(8, '\0'))), "does not begin with '{'"));
  EXPECT_TRUE(says(message_of(std::string(std::size_t{17} << 20, ' '), 0), "longer than"));
}

TEST(Safetensors, RejectsWhatIsNotTheFormatsJson) {
  for (const char* header : {"",
                             " {}",
                             "[]",
                             "{",
                             "{}}",
                             "{\"a\"",
                             "{\"a\":}",
                             "nul",
                             "{\"a\":1}",
                             "{\"a\":null}",
                             "{\"a\":[]}",
                             "{\"a\":{}}",
                             "{\"a\":\"b\"}",
                             "{\"\xff\":1}",
                             "{} x",
                             R"({"__metadata__":1})",
                             R"({"__metadata__":{"a":1}})",
                             R"({"__metadata__":{"a":["b"]}})",
                             R"({"__metadata__":{"a":{}}})",
                             R"({"a":{"dtype":"U8","shape":[0]}})",
                             R"({"a":{"dtype":1,"shape":[0],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":["U8"],"shape":[0],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":0,"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":"0","data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[{}],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[true],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[0.0],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[NaN],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,0]}})",
                             R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":0}})",
                             R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0]}})",
                             R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0,0]}})",
                             R"({"a":{"dtype":"F7","shape":[0],"data_offsets":[0,0]}})"}) {
    EXPECT_NE(message_of(header, 0), "accepted") << header;
  }
  EXPECT_NE(message_of(std::string(1 << 20, '['), 0), "accepted");
  std::string deep = "{\"a\":";
  for (int i = 0; i < 1 << 18; ++i) deep += "{\"a\":";
  EXPECT_TRUE(says(message_of(deep, 0), "unknown field"));
}

TEST(Safetensors, ANulDoesNotEndTheHeader) {
  const std::string sound = R"({"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})";
  EXPECT_EQ(message_of(sound, 0), "accepted");
  EXPECT_TRUE(says(message_of(sound + '\0' + "}}garbage", 0), "a NUL"));
  EXPECT_TRUE(says(message_of(sound + '\0', 0), "a NUL"));
}

TEST(Safetensors, ComplexTensorsAreToldToBeTwo) {
  const std::string message =
      message_of(R"({"q":{"dtype":"C64","shape":[1],"data_offsets":[0,8]}})", 8);
  EXPECT_TRUE(says(message, "C64"));
  EXPECT_TRUE(says(message, "\"q_im\""));
}

TEST(Safetensors, RejectsNamesAndFieldsThatOccurTwice) {
  const std::string a = R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  EXPECT_TRUE(says(message_of("{" + a + "," + a + "}", 0), "twice"));
  EXPECT_TRUE(
      says(message_of(R"({"a":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})", 0),
           "twice"));
  EXPECT_TRUE(says(message_of(R"({"__metadata__":{},"__metadata__":{}})", 0), "twice"));
}

TEST(Safetensors, RejectsOffsetsThatDoNotTileTheData) {
  const auto two = [](const char* first, const char* second) {
    return std::string(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)") + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  EXPECT_EQ(message_of(two("[0,4]", "[4,8]"), 8), "accepted");
  EXPECT_EQ(message_of(two("[4,8]", "[0,4]"), 8), "accepted");
  EXPECT_TRUE(says(message_of(two("[0,4]", "[0,4]"), 4), "begins at byte 0"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[2,6]"), 8), "begins at byte 2"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[5,9]"), 9), "begins at byte 5"));
  EXPECT_TRUE(says(message_of(two("[1,5]", "[5,9]"), 9), "begins at byte 1"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[4,8]"), 9), "end at byte 8"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[4,8]"), 7), "do not lie in"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[8,4]"), 8), "do not lie in"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[4,9223372036854775807]"), 8), "do not lie in"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[4,18446744073709551615]"), 8), "2^63"));
  EXPECT_TRUE(says(message_of(two("[0,4]", "[4,7]"), 7), "takes 4 bytes"));
}

TEST(Safetensors, RejectsShapesWhoseSizeOverflows) {
  const auto shaped = [](const char* shape) {
    return std::string(R"({"a":{"dtype":"F64","shape":)") + shape + R"(,"data_offsets":[0,0]}})";
  };
  EXPECT_EQ(message_of(shaped("[0,5]"), 0), "accepted");
  EXPECT_TRUE(says(message_of(shaped("[4294967296,4294967296]"), 0), "overflows"));
  EXPECT_TRUE(says(message_of(shaped("[2305843009213693952]"), 0), "overflows"));
  EXPECT_TRUE(says(message_of(shaped("[9223372036854775808]"), 0), "2^63"));
  // The strides of an empty tensor must not overflow either.
  EXPECT_TRUE(says(message_of(shaped("[0,4294967296,4294967296]"), 0), "overflows"));
  std::string many = "[0";
  for (int i = 0; i < 1000; ++i) many += ",1";
  EXPECT_TRUE(says(message_of(shaped((many + "]").c_str()), 0), "too long"));
}

TEST(Safetensors, MessagesEscapeNames) {
  EXPECT_EQ(printable("q"), "\"q\"");
  for (const char letter : printable("\x1b[2J\xc2\x9b\xff\n")) {
    EXPECT_GE(letter, ' ');
    EXPECT_LE(letter, '~');
  }
  EXPECT_LT(printable(std::string(100000, 'x')).size(), 200u);
}

class SafetensorsFolder : public testing::Test {
 protected:
  void SetUp() override {
    folder = std::filesystem::temp_directory_path() /
             ("gatescan_safetensors_" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::size_t files() const {
    const auto all = std::filesystem::directory_iterator(folder);
    return static_cast<std::size_t>(std::distance(begin(all), end(all)));
  }

  std::filesystem::path folder;
};

TEST_F(SafetensorsFolder, WritesAFileAndNothingElse) {
  const auto bytes = serialize(two_tensors());
  write_bytes(folder / "out", bytes_of("an older file"));
  write_bytes(folder / "out", bytes);
  EXPECT_EQ(read_bytes(folder / "out"), bytes);
  EXPECT_EQ(files(), 1u);
}

TEST_F(SafetensorsFolder, LeavesNothingWhenItCannotWrite) {
  std::filesystem::create_directory(folder / "taken");
  EXPECT_THROW(write_bytes(folder / "taken", bytes_of("x")), file_error);
  EXPECT_THROW(write_bytes(folder / "missing" / "out", bytes_of("x")), file_error);
  EXPECT_EQ(files(), 1u);
}

TEST_F(SafetensorsFolder, ReadsRegularFilesOnly) {
  EXPECT_THROW(read_bytes(folder), file_error);
  EXPECT_THROW(read_bytes(folder / "missing"), file_error);
  EXPECT_THROW(read_bytes("/dev/zero"), file_error);
  write_bytes(folder / "empty", {});
  EXPECT_TRUE(read_bytes(folder / "empty").empty());
}

// A folder of its own, and what lies in it afterwards.
class SafetensorsFiles : public testing::Test {
 protected:
  SafetensorsFiles()
      : folder(std::filesystem::temp_directory_path() /
               ("safetensors_test" + std::to_string(::getpid()))) {
    std::filesystem::create_directory(folder);
  }
  ~SafetensorsFiles() override { std::filesystem::remove_all(folder); }

  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
  }
  std::filesystem::path folder;
};

TEST_F(SafetensorsFiles, AnOutputThatIsALinkStaysOne) {
  const auto bytes = bytes_of("new");
  for (const bool exists : {true, false}) {
    const auto target = folder / "target", link = folder / "link";
    std::filesystem::remove_all(target);
    std::filesystem::remove_all(link);
    if (exists) write_bytes(target, bytes_of("older"));
    std::filesystem::create_symlink("target", link);
    write_bytes(link, bytes);
    EXPECT_TRUE(std::filesystem::is_symlink(link));
    EXPECT_FALSE(std::filesystem::is_symlink(target));
    EXPECT_EQ(read_bytes(target), bytes);
    EXPECT_EQ(files(), 2u);
  }
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_THROW(write_bytes(folder / "loop", bytes), file_error);
}

TEST_F(SafetensorsFiles, AFileSizeLimitLeavesNothing) {
  const auto write_beyond = [&] {
    const rlimit limit = {4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    try {
      write_bytes(folder / "out", std::vector<std::byte>(1 << 20));
    } catch (const file_error&) {
      std::_Exit(7);
    }
  };
  EXPECT_EXIT(write_beyond(), testing::ExitedWithCode(7), "");
  EXPECT_EQ(files(), 0u);
}

TEST_F(SafetensorsFiles, ASignalLeavesNothing) {
  // Large files again and again, so that the signal comes while one is being written.
  const pid_t child = ::fork();
  if (child == 0) {
    const std::vector<std::byte> large(std::size_t{1} << 26);
    for (;;) write_bytes(folder / "out", large);
  }
  while (files() == 0) ::usleep(100);
  ::kill(child, SIGTERM);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
  EXPECT_LE(files(), 1u);  // a complete one, or none
  EXPECT_TRUE(files() == 0 || std::filesystem::exists(folder / "out"));
}

}  // namespace
}  // namespace replay::safetensors
