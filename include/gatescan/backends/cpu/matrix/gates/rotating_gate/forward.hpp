#pragma once
// Matrix states with a complex gate a key, in float, forward a chunk at a time: as key_gate, but
// for states in a rotating frame, S = R S' (frame.hpp):
//
//   o_t[V]      = inside the chunk + Re (q^_t R_in)[K]^T S'_in[K, V]
//   S'_out[K, V] = (|prod of all gates|)[K] S'_in + sum_s (k^_s conj(R_out)) v_s^T
//
// with R_out what the gates' directions make of R_in. A state has R behind it.

#include "../key_gate/forward.hpp"
#include "frame.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C, readout Reads = readout::inclusive>
class rotating_gate {
 public:
  rotating_gate() = default;
  /// Works in the scratch of `gate`, too.
  rotating_gate(arena& scratch, const matrix_shape& n, const key_gate<C, true, Reads>& gate)
      : gate_(gate), frame_(scratch, n) {}

  void forward(const token_chunk<C>& c, C* state_out) const {
    const matrix_shape& n = c.x.n;
    with_exact_fallback(
        [&] {
          gate_.attend_inside(c);
          frame_.turn(n, gate_.gates(), c.state_in, state_out);
          scale_keys<true>(gate_.decayed().q, c.tokens, n, frame_.before, true);
          scale_keys<true>(gate_.decayed().k, c.tokens, n, frame_.after, true);
          matrix_shape carried = n;
          carried.parts = 1;  // a state in the frame has no low part
          const auto watch = gate_.through_state(c, frame_.gates(), carried, state_out);
          fill(state_out + n.part_size(), (n.parts - 1) * n.part_size(), C(0));
          return state_finite(watch, static_cast<const C*>(state_out), n);
        },
        [&] {
          c.keys->fill_tiles();
          C* const state = gate_.exact().begin(c);
          frame_.multiply(n, frame_.before, state);
          frame_.leave(n, state_out);
          gate_.exact().forward_from(state, c, state_out);
        });
  }
  /// A state that begins at 0 in a segment: it stands as it is.
  void advance(const token_chunk<C>& c, C* state_out) const {
    frame_.reset(c.x.n, state_out);
    gate_.advance(c, state_out);
  }
  gate_product<C> gates() const { return gate_.gates(); }

  const rotating_frame<C>& frame() const { return frame_; }

 private:
  key_gate<C, true, Reads> gate_{};
  rotating_frame<C> frame_{};
};
static_assert(summarised_kernel<rotating_gate<float>, float>);

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
