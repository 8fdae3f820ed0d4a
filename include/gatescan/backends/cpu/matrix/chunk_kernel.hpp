#pragma once
// What a kernel of matrix states is: the recurrence of one head over one chunk of tokens,
//
//   S_t = a_t * S_{t-1} + k_t v_t^T      o_t = Re(S_t^T q_t)
//
// for one form of its gates (gates/) or token by token (steps/). A kernel is built on scratch
// memory, is a handful of pointers that may be copied, and knows number formats, no recurrence.

#include <concepts>

#include "../operands/prefetch.hpp"
#include "carry.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class C>
class key_source;

/// The chunk at hand, as a kernel takes it.
template <class C>
struct token_chunk {
  matrix_tiles<C> x;  // what was read; o is written
  index_t tokens;
  const C* state_in;
  prefetcher* memory;  // of what comes next: asked for while this is worked on
  const key_source<C>* keys =
      nullptr;             // reads keys where they are not in tiles (key_gate/quads.hpp)
  bool same_keys = false;  // q and k are those of the chunk before: of another head of their group
  const C* written = nullptr;  // in backward of a corrected transition: U (gates/corrected/)
};

/// forward: o of every token and S_out, or o alone where there is no room for S_out.
/// advance: S_out alone; queries may not have been read.
template <class Kernel, class C>
concept chunk_kernel = std::copyable<Kernel> &&
    requires(const Kernel kernel, const token_chunk<C> chunk, C* state_out) {
  { kernel.forward(chunk, state_out) } -> std::same_as<void>;
  { kernel.advance(chunk, state_out) } -> std::same_as<void>;
};
/// gates: the product of the gates of the chunk worked on last, for summaries of segments. A
/// transition that is more than gates has a summary of its own (gates/corrected/summary.hpp).
template <class Kernel, class C>
concept summarised_kernel = chunk_kernel<Kernel, C> && requires(const Kernel kernel) {
  { kernel.gates() } -> std::same_as<gate_product<C>>;
};

/// backward: gradients of every token from d.d_o and the gradient g of S_out, whose memory is used
/// up; returns where the gradient of S_in is.
template <class Kernel, class C>
concept chunk_adjoint = std::copyable<Kernel> &&
    requires(Kernel kernel, const token_chunk<C> chunk, const matrix_gradients<C> d, C* g) {
  { kernel.backward(chunk, d, g) } -> std::same_as<C*>;
};
/// retreat: g_in, the gradient of S_in alone, for summaries of segments.
template <class Kernel, class C>
concept summarised_adjoint = chunk_adjoint<Kernel, C> &&
    requires(Kernel kernel, const token_chunk<C> chunk, const matrix_gradients<C> d, C* g) {
  { kernel.retreat(chunk, d, g, g) } -> std::same_as<void>;
};

/// A chunk's fast form, or token by token where `fast` says that what it left is not finite: there
/// a reset is exact, and nothing overflows that the definition does not overflow.
template <class Fast, class Exact>
void with_exact_fallback(Fast&& fast, Exact&& exact) {
  if (!fast()) exact();
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
