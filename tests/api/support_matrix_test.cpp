// The README's support matrix is what the concepts say.

#include <gtest/gtest.h>

#include <fstream>
#include <gatescan/gatescan.hpp>
#include <sstream>
#include <string>

namespace {

using namespace gatescan;

template <class R>
void write_row(std::ostream& to) {
  const auto cell = [](bool mode) {
    return !mode ? "-" : differentiable<R> ? "forward, backward" : "forward";
  };
  to << "| `" << R::name << "` | " << cell(recurrent::supports<R>) << " | "
     << cell(scan::supports<R>) << " | " << cell(chunked::supports<R>) << " | "
     << cell(attention::supports<R>) << " | " << (recurrent::supports<R> ? "yes" : "-") << " |\n";
}

template <class... R>
std::string matrix(type_list<R...>) {
  std::ostringstream to;
  to << "| recurrence | recurrent | scan | chunked | attention | step |\n"
     << "|---|---|---|---|---|---|\n";
  (write_row<R>(to), ...);
  return to.str();
}

TEST(support_matrix, readme_says_what_the_concepts_say) {
  std::ifstream file(std::string(GATESCAN_SOURCE_DIR) + "/README.md");
  ASSERT_TRUE(file.good());
  std::stringstream text;
  text << file.rdbuf();
  const std::string expected = "<!-- support-matrix -->\n" + matrix(all_recurrences{});
  EXPECT_NE(text.str().find(expected), std::string::npos) << "README.md should contain:\n"
                                                          << expected;
}

}  // namespace
