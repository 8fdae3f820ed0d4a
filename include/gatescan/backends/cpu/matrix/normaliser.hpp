#pragma once
// The normaliser's column. Values have one column more, of ones: behind V values of a token, o has
// n_t = q_t^T n there, and the column behind the state's is n. What o is divided by is made of it:
//
//   o_t := o_t / D(n_t)      d_o := d_o / D,  d_n = -D'(n_t) sum_v d_o[v] o[v] / D
//
//   v, o, d_o [tokens, value_pitch]; column V is the normaliser's

#include "reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_normaliser {
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;
  using register_type = typename reader::register_type;
  using stage = typename reader::stage;
  using token_type = typename reader::token_type;
  using operands_type = typename reader::operands_type;
  using token_cursor_type = token_cursor<C, reader::complex>;

 public:
  /// o of one token.
  static void divide(const matrix_shape& n, const operands_type& x, const token_cursor_type& at,
                     const token_type& made, C* o) {
    const C sum = o[n.values];
    const register_type by = stage::denominator(x, at, made, register_type(sum));
    for (index_t j = 0; j < n.padded_values; j += width) simd::store(o + j, simd::load(o + j) / by);
    o[n.values] = sum;
  }
  static void divide(const reader& from, index_t first, index_t count) {
    for (index_t t = 0; t < count; ++t)
      divide(from.shape(), from.operands(), from.token_at(first + t), from.tokens()[t],
             from.tiles().o + t * from.shape().value_pitch);
  }
  /// The gradient of o and n, of that of o divided, where it lies. The tiles have o divided.
  static void divide_gradients(const reader& from, index_t first, index_t count, C* d_o) {
    const matrix_shape& n = from.shape();
    for (index_t t = 0; t < count; ++t) {
      const C* const o = from.tiles().o + t * n.value_pitch;
      C* const d = d_o + t * n.value_pitch;
      const token_cursor_type at = from.token_at(first + t);
      const register_type sum(o[n.values]);
      const register_type by = stage::denominator(from.operands(), at, from.tokens()[t], sum);
      register_type products(0);
      for (index_t j = 0; j < n.padded_values; j += width) {
        const register_type g = simd::load(d + j) / by;
        const int count_here = static_cast<int>((std::min)(width, n.values - j));
        products += reader::masked(g * simd::load(o + j), count_here, C(0));
        simd::store(d + j, g);
      }
      const register_type d_sum = stage::denominator_adjoint(
          from.operands(), at, from.tokens()[t], sum, register_type(-simd::sum(products)));
      put_in_column(n, d, d_sum.v[0]);
    }
  }

 private:
  static constexpr index_t width = reader::width;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
