// Products of small matrices against plain loops in double, for every remainder of rows, columns
// and depth that blocks of registers leave.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gatescan/backends/cpu/simd/matmul.hpp>

namespace {

using namespace gatescan;

template <class T>
class matmul : public testing::Test {
 protected:
  static constexpr index_t width = simd::lanes<T>;

  std::vector<T> random(index_t count) {
    std::uniform_real_distribution<double> in(-1, 1);
    std::vector<T> x(static_cast<std::size_t>(count));
    for (T& number : x) number = static_cast<T>(in(engine_));
    return x;
  }
  static T at(const std::vector<T>& x, index_t i) { return x[static_cast<std::size_t>(i)]; }
  static void expect_near(T got, double expected, index_t depth, const char* what, index_t row,
                          index_t column) {
    const double unit = std::numeric_limits<T>::epsilon();
    EXPECT_NEAR(got, expected, unit * static_cast<double>(depth + 1))
        << what << ": row " << row << ", column " << column << ", depth " << depth;
  }
  // f(rows, columns, depth), columns whole registers
  template <class F>
  static void for_each_shape(F&& f) {
    for (const index_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 17, 23, 24, 29})
      for (index_t registers = 1; registers <= simd::widest_panel + 1; ++registers)
        for (const index_t depth : {1, 2, 3, 4, 7, 16}) f(rows, registers * width, depth);
  }

 private:
  std::mt19937 engine_{1};
};

using formats = testing::Types<float, double>;
TYPED_TEST_SUITE(matmul, formats);

TYPED_TEST(matmul, products_with_either_left_operand) {
  using T = TypeParam;
  this->for_each_shape([&](index_t rows, index_t columns, index_t depth) {
    const auto a = this->random(rows * depth), turned = [&] {
      std::vector<T> x(a.size());
      for (index_t m = 0; m < rows; ++m)
        for (index_t k = 0; k < depth; ++k)
          x[static_cast<std::size_t>(k * rows + m)] = this->at(a, m * depth + k);
      return x;
    }();
    const auto b = this->random(depth * columns), before = this->random(rows * columns);
    auto set = before, added = before;
    simd::set_product<T>(rows, columns, depth, simd::by_rows<T>(a.data(), depth),
                         {b.data(), columns}, {set.data(), columns});
    simd::add_product<T>(rows, columns, depth, simd::by_columns<T>(turned.data(), rows),
                         {b.data(), columns}, {added.data(), columns});
    for (index_t m = 0; m < rows; ++m)
      for (index_t n = 0; n < columns; ++n) {
        double sum = 0;
        for (index_t k = 0; k < depth; ++k)
          sum += double{this->at(a, m * depth + k)} * double{this->at(b, k * columns + n)};
        const index_t i = m * columns + n;
        this->expect_near(this->at(set, i), sum, depth, "set", m, n);
        this->expect_near(this->at(added, i), sum + double{this->at(before, i)}, depth, "added", m,
                          n);
      }
  });
}

TYPED_TEST(matmul, dot_products_of_rows) {
  using T = TypeParam;
  for (index_t rows = 1; rows <= 9; ++rows)
    for (index_t columns = 1; columns <= 9; ++columns) {
      const index_t depth = 3 * this->width;
      const auto x = this->random(rows * depth), y = this->random(columns * depth);
      std::vector<T> out(static_cast<std::size_t>(columns * rows));
      simd::dot_products<T>(rows, columns, depth, {x.data(), depth}, {y.data(), depth},
                            {out.data(), rows});
      for (index_t n = 0; n < columns; ++n)
        for (index_t m = 0; m < rows; ++m) {
          double sum = 0;
          for (index_t i = 0; i < depth; ++i)
            sum += double{this->at(x, m * depth + i)} * double{this->at(y, n * depth + i)};
          this->expect_near(this->at(out, n * rows + m), sum, depth, "dot", n, m);
        }
    }
}

// What a triangle leaves out may be NaN.
TYPED_TEST(matmul, triangles_do_not_read_the_other_side) {
  using T = TypeParam;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (index_t rows = 1; rows <= 19; ++rows)
    for (index_t registers = 1; registers <= simd::widest_panel + 1; ++registers) {
      const index_t columns = registers * this->width;
      const auto a = this->random(rows * rows), b = this->random(rows * columns);
      const auto before = this->random(rows * columns);
      auto lower_a = a, upper_a = a, lower = before, upper = before;
      for (index_t m = 0; m < rows; ++m)
        for (index_t k = 0; k < rows; ++k) {
          if (k > m) lower_a[static_cast<std::size_t>(m * rows + k)] = nan;
          if (k < m) upper_a[static_cast<std::size_t>(m * rows + k)] = nan;
        }
      simd::set_lower_product<T>(rows, columns, simd::by_rows<T>(lower_a.data(), rows),
                                 {b.data(), columns}, {lower.data(), columns});
      simd::add_upper_product<T>(rows, columns, simd::by_rows<T>(upper_a.data(), rows),
                                 {b.data(), columns}, {upper.data(), columns});
      for (index_t m = 0; m < rows; ++m)
        for (index_t n = 0; n < columns; ++n) {
          double below = 0, above = double{this->at(before, m * columns + n)};
          for (index_t k = 0; k < rows; ++k) {
            const double product =
                double{this->at(a, m * rows + k)} * double{this->at(b, k * columns + n)};
            (k <= m ? below : above) += product;
            if (k == m) above += product;
          }
          this->expect_near(this->at(lower, m * columns + n), below, rows, "lower", m, n);
          this->expect_near(this->at(upper, m * columns + n), above, rows, "upper", m, n);
        }
    }
}

TYPED_TEST(matmul, a_panel_says_whether_it_is_finite) {
  using T = TypeParam;
  const index_t rows = 13, columns = this->width, depth = 5;
  const auto a = this->random(rows * depth);
  auto b = this->random(depth * columns);
  std::vector<T> out(static_cast<std::size_t>(rows * columns));
  const auto watch = [&] {
    return simd::sum(simd::product_of_panel<T>(
        1, rows, depth, simd::by_rows<T>(a.data(), depth), {b.data(), columns},
        {out.data(), columns}, [](index_t, index_t, simd::pack<T> sum) { return sum; }));
  };
  EXPECT_EQ(watch(), T(0));
  b[static_cast<std::size_t>(2 * columns)] = std::numeric_limits<T>::infinity();
  EXPECT_NE(watch(), T(0));
}

TYPED_TEST(matmul, transposes_any_shape) {
  using T = TypeParam;
  for (index_t rows = 1; rows <= 2 * this->width + 1; ++rows)
    for (index_t columns = 1; columns <= 2 * this->width + 1; ++columns) {
      const auto from = this->random(rows * columns);
      std::vector<T> to(from.size());
      simd::transpose<T>(rows, columns, {from.data(), columns}, {to.data(), rows});
      for (index_t i = 0; i < rows; ++i)
        for (index_t j = 0; j < columns; ++j)
          ASSERT_EQ(this->at(to, j * rows + i), this->at(from, i * columns + j));
    }
}

}  // namespace
