#pragma once
// The gradient of o, from that of the output and the recurrence's epilogue.

#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

template <class R, class T>
struct output_gradient {
  using config = tile_config<R, T>;
  using C = typename config::C;
  using S = typename config::S;
  static constexpr bool needs_o = !std::is_base_of_v<plain_output, R>;

  operand<const S> d_out{};
  const C* o = nullptr;  // [batch][time][head][value], where the epilogue's adjoint needs it
  sizes n{};

  GATESCAN_HD index_t offset_of_o(index_t batch, index_t time, index_t head, index_t value) const {
    return ((batch * n.time + time) * n.heads + head) * n.values + value;
  }
  /// A head's gradient and o moved on.
  GATESCAN_HD void move(operand<const S>& head_d_out, index_t by_o, index_t times, index_t values) {
    if (d_out.given) head_d_out.re += times * head_d_out.time + values * head_d_out.value;
    if (needs_o) o += by_o;
  }
  /// At one value of one head, whose operands are x; adds to d and d_w.
  template <class W>
  GATESCAN_HD C operator()(const typename config::fields& x, const operand<const S>& head_d_out,
                           index_t batch, index_t head, index_t time, index_t value, const W& w,
                           W& d_w, const typename config::sums& d) const {
    const typename config::cursor at{0, time, 0, 0, value};
    const C g = d_out.given ? at(head_d_out) : C(0);
    const C before = needs_o ? o[offset_of_o(batch, time, head, value)] : C(0);
    return R::output_adjoint(x, d, at, w, d_w, before, g);
  }
  /// The same for who only wants d_o.
  GATESCAN_HD C operator()(const typename config::fields& x, const operand<const S>& head_d_out,
                           index_t batch, index_t head, index_t time, index_t value) const {
    const auto w = R::values(x, typename config::cursor{0, time, 0, 0, value});
    std::remove_const_t<decltype(w)> d_w{};
    return (*this)(x, head_d_out, batch, head, time, value, w, d_w, typename config::sums{});
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
