// The names that the linker sees: what is compiled says under which flags, what parts of a program
// hand to each other says the version alone.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <string>
#include <typeinfo>

namespace {

#define GATESCAN_TEXT_OF(words) #words
#define GATESCAN_TEXT(words) GATESCAN_TEXT_OF(words)

const std::string types = GATESCAN_TEXT(GATESCAN_TYPES), abi = GATESCAN_TEXT(GATESCAN_ABI);

bool says(const char* word) { return abi.find(word) != std::string::npos; }

TEST(tag, begins_with_the_version) {
  EXPECT_EQ(types, "v" + std::to_string(GATESCAN_VERSION_MAJOR) + "_" +
                       std::to_string(GATESCAN_VERSION_MINOR) + "_" +
                       std::to_string(GATESCAN_VERSION_PATCH));
  EXPECT_EQ(abi.rfind(types, 0), 0u) << abi;
}

TEST(tag, of_code_says_threads_and_exceptions) {
#if defined(_OPENMP)
  EXPECT_TRUE(says("_openmp")) << abi;
#else
  EXPECT_FALSE(says("_openmp")) << abi;
#endif
  EXPECT_FALSE(says("_no_exceptions")) << abi;
}

#if defined(__SSE2__)
// A digit an instruction set, in this order.
constexpr char digit(bool has) { return has ? '1' : '0'; }
#define GATESCAN_HAS(set) GATESCAN_BIT(set) == 1

TEST(tag, of_code_says_the_instruction_sets) {
#if defined(__AVX2__) && defined(__FMA__)
  EXPECT_TRUE(says("_avx1") && says("11")) << abi;
  // AVX, F16C, FMA, AVX2
  EXPECT_EQ(abi.substr(abi.find("_avx") + 4, 4),
            std::string({'1', digit(GATESCAN_HAS(__F16C__)), '1', '1'}));
#elif defined(__AVX__)
  EXPECT_TRUE(says("_avx1")) << abi;
#else
  EXPECT_FALSE(says("_avx")) << abi;
#endif
#if defined(__AVX512F__)
  EXPECT_TRUE(says("_avx512_1")) << abi;
#else
  EXPECT_FALSE(says("_avx512")) << abi;
#endif
}
#endif

template <class T>
bool is_tagged() {
  return std::string(typeid(T).name()).find(abi) != std::string::npos;
}

TEST(tag, is_on_no_type_that_parts_of_a_program_share) {
  EXPECT_FALSE(is_tagged<gatescan::shape_error>());
  EXPECT_FALSE(is_tagged<gatescan::workspace_error>());
  EXPECT_FALSE(is_tagged<gatescan::view<const float>>());
  EXPECT_FALSE(is_tagged<gatescan::complex_view<float>>());
  EXPECT_FALSE(is_tagged<gatescan::bf16>());
  EXPECT_FALSE(is_tagged<gatescan::cpu>());
  EXPECT_FALSE(is_tagged<gatescan::chunked>());
  EXPECT_TRUE(is_tagged<gatescan::gla>());
}

}  // namespace
