#pragma once
// Numbers of channels between programs: states at the starts of segments or chunks, parts of sums.

#include "../numbers.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// [row][key][channel] in scratch; numbers of two parts in two planes. Neighbouring threads work on
/// neighbouring channels.
template <class E>
struct scratch_array {
  static constexpr bool in_two = !std::is_floating_point_v<E>;
  using part =
      std::conditional_t<std::is_same_v<E, float> || std::is_same_v<E, cplx<float>>, float, double>;
  part* first = nullptr;
  index_t rows = 0, keys = 0, channels = 0;

  template <class Arena>
  void take(Arena& scratch, index_t row_count, index_t key_count, index_t channel_count) {
    rows = row_count, keys = key_count, channels = channel_count;
    first = scratch.template take<part>(rows * keys * channels * (in_two ? 2 : 1));
  }
  GATESCAN_HD index_t at(index_t row, index_t key, index_t channel) const {
    return (row * keys + key) * channels + channel;
  }
  GATESCAN_HD E load(index_t row, index_t key, index_t channel) const {
    const index_t i = at(row, key, channel);
    if constexpr (in_two)
      return {first[i], first[i + rows * keys * channels]};
    else
      return first[i];
  }
  GATESCAN_HD void store(index_t row, index_t key, index_t channel, E x) const {
    const index_t i = at(row, key, channel), second = i + rows * keys * channels;
    if constexpr (requires { x.im; })
      first[i] = x.re, first[second] = x.im;
    else if constexpr (requires { x.low; })
      first[i] = x.high, first[second] = x.low;
    else
      first[i] = x;
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
