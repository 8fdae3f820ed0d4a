// Eigen matrices and mdspans as views: which element is where, without a copy, for every storage
// order, and through to a result.

#include <gtest/gtest.h>

#include <Eigen/Dense>
#include <array>
#include <gatescan/gatescan.hpp>
#include <type_traits>

namespace {

using gatescan::cols_are_time, gatescan::index_t, gatescan::rows_are_time, gatescan::view;
using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class T>
T* place(const view<T>& x, index_t t, index_t h, index_t i) {
  return x.data + t * x.stride[1] + h * x.stride[2] + i * x.stride[3];
}

// Token t, head h, feature i is element (t, h * width + i) of the matrix.
template <class M>
void expect_rows(M&& m, index_t heads) {
  const auto x = rows_are_time(m, heads);
  const index_t width = static_cast<index_t>(m.cols()) / heads;
  ASSERT_EQ(x.rank, 4);
  EXPECT_EQ(x.shape[0], 1);
  EXPECT_EQ(x.shape[1], static_cast<index_t>(m.rows()));
  EXPECT_EQ(x.shape[2], heads);
  EXPECT_EQ(x.shape[3], width);
  for (index_t t = 0; t < x.shape[1]; ++t)
    for (index_t h = 0; h < heads; ++h)
      for (index_t i = 0; i < width; ++i)
        EXPECT_EQ(place(x, t, h, i), &m.coeffRef(t, h * width + i)) << t << " " << h << " " << i;
}

TEST(eigen, rows_are_time_in_any_storage) {
  row_major rows(7, 6);
  Eigen::MatrixXd columns(7, 6);
  for (const index_t heads : {1, 2, 3, 6}) {
    expect_rows(rows, heads);
    expect_rows(columns, heads);
    expect_rows(rows.block(1, 0, 5, 6), heads);
    expect_rows(columns.block(1, 0, 5, 6), heads);
    expect_rows(Eigen::Map<Eigen::MatrixXd, 0, Eigen::Stride<14, 2>>(columns.data(), 3, 6), heads);
  }
  Eigen::Matrix<double, 5, 4> fixed;
  expect_rows(fixed, 2);
}

TEST(eigen, cols_are_time) {
  Eigen::MatrixXd m(6, 7);
  const auto x = cols_are_time(m, 3);
  EXPECT_EQ(x.shape[1], 7);
  for (index_t t = 0; t < 7; ++t)
    for (index_t h = 0; h < 3; ++h)
      for (index_t i = 0; i < 2; ++i) EXPECT_EQ(place(x, t, h, i), &m(h * 2 + i, t));
}

TEST(eigen, what_is_constant_stays_so) {
  Eigen::MatrixXf m(2, 2);
  const Eigen::MatrixXf fixed(2, 2);
  static_assert(std::is_same_v<decltype(rows_are_time(m)), view<float>>);
  static_assert(std::is_same_v<decltype(rows_are_time(fixed)), view<const float>>);
  static_assert(std::is_same_v<decltype(cols_are_time(fixed.leftCols(1))), view<const float>>);
  EXPECT_EQ(rows_are_time(m).data, m.data());
}

TEST(eigen, heads_must_divide_the_features) {
  Eigen::MatrixXd m(7, 6);
  for (const index_t heads : {0, 4, 5, 12, -2}) try {
      rows_are_time(m, heads);
      ADD_FAILURE() << heads;
    } catch (const gatescan::shape_error& error) {
      EXPECT_EQ(std::string(error.what()),
                "heads: expected a divisor of 6 features, got " + std::to_string(heads));
    }
}

// std::mdspan's members with layout_stride, of any rank
template <class T, std::size_t Rank>
struct strided {
  using element_type = T;
  using rank_type = std::size_t;
  static constexpr rank_type rank() { return Rank; }
  int extent(rank_type i) const { return extents[i]; }  // a size type of its own
  std::ptrdiff_t stride(rank_type i) const { return strides[i]; }
  T* data_handle() const { return data; }
  T* data;
  std::array<int, Rank> extents;
  std::array<std::ptrdiff_t, Rank> strides;
};

TEST(mdspan, extents_and_strides_are_the_views) {
  double data[100] = {};
  const auto x = gatescan::from_mdspan(strided<double, 3>{data + 60, {2, 3, 5}, {-30, 0, 2}});
  static_assert(std::is_same_v<decltype(x), const view<double>>);
  EXPECT_EQ(x.data, data + 60);
  ASSERT_EQ(x.rank, 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(x.shape[i], (std::array{2, 3, 5})[static_cast<std::size_t>(i)]);
    EXPECT_EQ(x.stride[i], (std::array{-30, 0, 2})[static_cast<std::size_t>(i)]);
  }
  static_assert(std::is_same_v<decltype(gatescan::from_mdspan(strided<const float, 1>{})),
                               view<const float>>);
}

// Reversed time through an mdspan is the recurrence run from the other end, in Eigen's memory.
TEST(mdspan, reversed_time) {
  const Eigen::Index L = 40, D = 6;
  std::srand(3);
  const row_major a = row_major::Random(L, D), x = row_major::Random(L, D);
  row_major out(L, D), want(L, D);
  const auto backwards = [&](auto* data) {
    return gatescan::from_mdspan(strided<std::remove_pointer_t<decltype(data)>, 4>{
        data + (L - 1) * D, {1, static_cast<int>(L), 1, static_cast<int>(D)}, {0, -D, 0, 1}});
  };
  gatescan::forward(
      gatescan::cpu{}, gatescan::recurrent{},
      gatescan::elementwise::inputs<double>{.a = backwards(a.data()), .x = backwards(x.data())},
      {.out = backwards(out.data())});
  const row_major turned_a = a.colwise().reverse(), turned_x = x.colwise().reverse();
  gatescan::forward(gatescan::cpu{}, gatescan::recurrent{},
                    gatescan::elementwise::inputs<double>{.a = rows_are_time(turned_a),
                                                          .x = rows_are_time(turned_x)},
                    {.out = rows_are_time(want)});
  EXPECT_EQ(out, row_major(want.colwise().reverse()));
}

}  // namespace
