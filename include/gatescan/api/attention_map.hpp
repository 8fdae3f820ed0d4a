#pragma once
// The surrogate attention map itself: which tokens a token reads.

#include "execution.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline void check_map_layout(const layout& map, const char* meaning,
                             std::initializer_list<index_t> expected) {
  const layout want(expected);
  bool same = map.rank == want.rank;
  for (int i = 0; same && i < want.rank; ++i) same = map.shape[i] == want.shape[i];
  if (!same) fail_shape("map", meaning + (" = " + shape_text(want)), map);
  check_distinct("map", map);
}

}  // namespace detail

/// P_ts = Re sum_i q_t[i] k_s[i] prod_{j=s+1..t} a_j[i] for s <= t, and 0 above the diagonal, so
/// that without an initial state o_t = sum_s P_ts v_s before the recurrence's epilogue. Where a
/// query reads before it writes (readout::exclusive) the product ends at t - 1, and P_tt = q_t
/// own_t; where keys take away what they stored it is what their product leaves.
///
/// map: [B, H, L, L] where the gate is a head's or a key's; with a gate a state entry [B, D, L, L]
/// where out has an axis `channel` (selective_scan, whose v is step * u), else [B, H, D, L, L]
/// (elementwise), complex if the recurrence is. Packed sequences: 0 across sequences. Work L^2 K a
/// head (a channel). With a normaliser each row is divided by what divides the output. Needs no
/// scratch beyond a few rows, but weights in log space take three numbers a token and head and a
/// normaliser one, which cuda allocates from the device's pool.
template <class Backend, class In, class Map>
void attention_map(const Backend& backend, const In& in, const Map& map) {
  using R = typename In::recurrence;
  static_assert(attention_form<R>,
                "gatescan: an attention map needs the gated product (core/concepts.hpp)");
  static_assert(detail::is_a_call<Backend, attention, In>());
  const auto p = detail::bind_inputs<R>(in);
  const sizes& n = p.n;
  if constexpr (R::form.gate != gate_span::entry)
    detail::check_map_layout(map, "[batch, heads, time, time]", {n.batch, n.heads, n.time, n.time});
  else if constexpr (R::out_axes.has(axis::channel))
    detail::check_map_layout(map, "[batch, channels, time, time]",
                             {n.batch, n.heads * n.values, n.time, n.time});
  else
    detail::check_map_layout(map, "[batch, heads, values, time, time]",
                             {n.batch, n.heads, n.values, n.time, n.time});
  detail::check_complex("map", map, p.complex);
  detail::for_each_input(in, [&](const detail::operand_name& name, const auto& x, bool) {
    detail::check_apart(detail::footprint_of("map", map), detail::footprint_of(name, x), false);
  });
  write_attention_map(for_one_call(backend, p), p, map);
}

}  // namespace GATESCAN_ABI
}  // namespace gatescan
