#pragma once
// The surrogate attention map itself: which tokens a token reads.

#include "execution.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline void check_map_layout(const layout& map, std::initializer_list<index_t> expected) {
  const layout want(expected);
  bool same = map.rank == want.rank;
  for (int i = 0; same && i < want.rank; ++i) same = map.shape[i] == want.shape[i];
  if (!same) fail_shape("map", shape_text(want), map);
  check_distinct("map", map);
}

}  // namespace detail

/// P_ts = Re sum_i q_t[i] k_s[i] prod_{j=s+1..t} a_j[i] for s <= t, and 0 above the diagonal, so
/// that without an initial state o_t = sum_s P_ts v_s before the recurrence's epilogue.
///
/// map: [B, H, L, L] for matrix states (gla, gateloop); [B, D, L, L] for selective_scan (its v is
/// step * u); [B, H, D, L, L] for elementwise, complex if the recurrence is. Packed sequences: 0
/// across sequences. Work L^2 K a head (a channel). With a normaliser each row is divided by what
/// divides the output. Needs no scratch beyond a few rows, but weights in log space take three
/// numbers a token and head and a normaliser one, which cuda allocates from the device's pool.
template <class Backend, class In, class Map>
void attention_map(const Backend& backend, const In& in, const Map& map) {
  using R = typename In::recurrence;
  static_assert(attention_form<R>,
                "gatescan: an attention map needs the gated product (core/concepts.hpp)");
  static_assert(detail::is_a_call<Backend, attention, In>());
  const auto p = detail::bind_inputs<R>(in);
  const sizes& n = p.n;
  if constexpr (R::form.gate != gate_span::entry)
    detail::check_map_layout(map, {n.batch, n.heads, n.time, n.time});
  else if constexpr (R::out_axes.has(axis::channel))
    detail::check_map_layout(map, {n.batch, n.heads * n.values, n.time, n.time});
  else
    detail::check_map_layout(map, {n.batch, n.heads, n.values, n.time, n.time});
  detail::check_complex("map", map, p.complex);
  detail::for_each_input(in, [&](const detail::operand_name& name, const auto& x, bool) {
    detail::check_apart(detail::footprint_of("map", map), detail::footprint_of(name, x), false);
  });
  write_attention_map(for_one_call(backend, p), p, map);
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
