#pragma once
// Chunks of a head: the kernel for the form of gates that a chunk has. Gates that all keys share
// are numbers (head_gate); others are rows of keys (key_gate), and where states are complex floats
// these go forward in a rotating frame (rotating_gate).

#include "head_gate/backward.hpp"
#include "key_gate/backward.hpp"
#include "key_gate/keys_in_operands.hpp"
#include "rotating_gate/forward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class chunk_kernels {
 public:
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;
  static constexpr bool reads_queries_to_advance = !reader::reads_query_apart;

  chunk_kernels(arena& scratch, reader& from, index_t tokens, bool backward)
      : rotates_(rotates && !backward), key_gate_(scratch, from.shape(), tokens) {
    const matrix_shape& n = from.shape();
    const bool head_gates =
        backward ? reader::may_have_head_gate_adjoint : reader::may_have_head_gate;
    from.take_room_for_chunks(scratch, tokens, head_gates);
    if (head_gates) head_gate_ = {scratch, n, tokens, from.shares_keys()};
    if constexpr (rotates)
      if (rotates_) rotating_gate_ = {scratch, n, key_gate_};
    if (!backward) return;
    key_gate_adjoint_ = {scratch, n, tokens, key_gate_};
    if (head_gates) head_gate_adjoint_ = {scratch, n, tokens, head_gate_};
  }
  index_t size_behind_state(const matrix_shape& n) const {
    return rotates_ ? rotating_frame<C>::size(n) : 0;
  }
  /// The state as it stands, for what knows nothing of frames.
  void leave_frame(const matrix_shape& n, C* state) const {
    if constexpr (rotates)
      if (rotates_) rotating_gate_.frame().leave(n, state);
  }
  void enter_frame(const matrix_shape& n, C* state) const {
    if constexpr (rotates)
      if (rotates_) rotating_gate_.frame().reset(n, state);
  }

  /// Returns whether q and k are those of the chunk read before.
  bool read(reader& from, index_t first, index_t count) const {
    return from.read_chunk(first, count);
  }
  void forward(reader& from, index_t first, token_chunk<C> c, C* state_out) const {
    if constexpr (reader::may_read_keys_by_quads_of_tokens)
      if (from.reads_keys_by_quads_of_tokens(c.tokens)) {
        from.begin_chunk_without_keys(first, c.tokens);
        const keys_in_operands<R, T> keys(from, first, c.tokens);
        c.x = from.tiles(), c.keys = &keys;
        return with_key_gate([&](const auto& kernel) { kernel.forward(c, state_out); });
      }
    c.same_keys = from.read_chunk(first, c.tokens);
    compute(from, c, state_out);
  }
  void advance(reader& from, index_t first, token_chunk<C> c, C* state_out) const {
    from.template read_chunk<reads_queries_to_advance>(first, c.tokens);
    c.x = from.tiles();
    with_kernel(from, [&](const auto& kernel) { kernel.advance(c, state_out); });
  }
  /// forward of tokens that were read.
  void compute(const reader& from, token_chunk<C> c, C* state_out) const {
    const keys_in_tiles<C, reader::complex, R::form.reads> keys(from.tiles());
    c.x = from.tiles(), c.keys = &keys;
    with_kernel(from, [&](const auto& kernel) { kernel.forward(c, state_out); });
  }
  C* backward(const reader& from, token_chunk<C> c, const matrix_gradients<C>& d, C* g) {
    c.x = from.tiles();
    return with_adjoint(from, [&](auto& kernel) { return kernel.backward(c, d, g); });
  }
  void retreat(const reader& from, token_chunk<C> c, const matrix_gradients<C>& d, const C* g,
               C* g_in) {
    c.x = from.tiles();
    with_adjoint(from, [&](auto& kernel) { kernel.retreat(c, d, g, g_in); });
  }
  /// Of the chunk advanced last.
  gate_product<C> gates(const reader& from) const {
    return with_kernel(from, [](const auto& kernel) { return kernel.gates(); });
  }

 private:
  static constexpr bool rotates = reader::complex && std::is_same_v<C, float>;

  template <class F>
  auto with_key_gate(F&& f) const {
    if constexpr (rotates)
      if (rotates_) return f(rotating_gate_);
    return f(key_gate_);
  }
  template <class F>
  auto with_kernel(const reader& from, F&& f) const {
    if constexpr (reader::may_have_head_gate)
      if (from.has_head_gate()) return f(head_gate_);
    return with_key_gate(f);
  }
  template <class F>
  auto with_adjoint(const reader& from, F&& f) {
    if constexpr (reader::may_have_head_gate_adjoint)
      if (from.has_head_gate()) return f(head_gate_adjoint_);
    return f(key_gate_adjoint_);
  }

  bool rotates_;
  key_gate<C, reader::complex, R::form.reads> key_gate_;
  key_gate_adjoint<C, reader::complex, R::form.reads> key_gate_adjoint_{};
  rotating_gate<C, R::form.reads> rotating_gate_{};
  head_gate<C> head_gate_{};
  head_gate_adjoint<C> head_gate_adjoint_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
