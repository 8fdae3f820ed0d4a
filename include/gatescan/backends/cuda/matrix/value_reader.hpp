#pragma once
// Values of a head, or gradients of its outputs o, read by places that move.

#include "output_gradient.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// From a head's first token and value on: with there = reader.moved(tokens, values) there(0) and
/// there(1) are one number and its neighbour, and there.next_token() goes on.
template <class R, class T, bool OfOutputs>
class value_reader {
  using config = tile_config<R, T>;
  using fields = typename config::fields;
  using gradient = operand<const typename config::S>;

 public:
  /// x, head_d_out: operands and the outputs' gradient of the head.
  GATESCAN_HD value_reader(const fields& x, const output_gradient<R, T>& d_o,
                           const gradient& head_d_out, index_t batch, index_t head)
      : x_(x), d_o_(d_o), d_out_(head_d_out) {
    if (OfOutputs) d_o_.move(d_out_, d_o_.offset_of_o(batch, 0, head, 0), 0, 0);
  }
  GATESCAN_HD value_reader moved(index_t tokens, index_t values) const {
    value_reader there = *this;
    move_operands<R, T>(there.x_, tokens, 0, values);
    if (OfOutputs)
      there.d_o_.move(there.d_out_, d_o_.offset_of_o(0, tokens, 0, values), tokens, values);
    return there;
  }
  GATESCAN_HD typename config::C operator()(index_t value) const {
    if constexpr (OfOutputs)
      return d_o_(x_, d_out_, 0, 0, 0, value);
    else
      return R::values(x_, typename config::cursor{0, 0, 0, 0, value}).v;
  }
  GATESCAN_HD void next_token() { *this = moved(1, 0); }

  // whether a number is that of an operand in bfloat16
  static constexpr bool as_it_stands =
      std::is_same_v<typename config::S, bf16> &&
      std::is_base_of_v<std::conditional_t<OfOutputs, plain_output, plain_values>, R>;
  /// The operand that numbers are of, as they stand.
  GATESCAN_HD const gradient& operand_of_numbers() const {
    static_assert(as_it_stands);
    if constexpr (OfOutputs)
      return d_out_;
    else
      return x_.v;
  }
  /// Whether eight of a row lie together, in 16 bytes of their own.
  GATESCAN_HD bool lies_in_eights() const {
    const auto& x = operand_of_numbers();
    const auto rest =
        reinterpret_cast<std::uintptr_t>(x.re) | static_cast<std::uintptr_t>(x.time * 2);
    return x.given && x.value == 1 && rest % 16 == 0;
  }

 private:
  fields x_;
  output_gradient<R, T> d_o_;
  gradient d_out_;
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
