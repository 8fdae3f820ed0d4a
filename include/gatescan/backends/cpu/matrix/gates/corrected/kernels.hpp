#pragma once
// Chunks of a head whose transition is corrected. Gates that all keys share are numbers
// (head_gate.hpp, head_gate_backward.hpp).

#include "../../reader.hpp"
#include "backward.hpp"
#include "head_gate_backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class corrected_chunk_kernels {
 public:
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;
  static constexpr bool reads_queries_to_advance = !reader::reads_query_apart;
  static_assert(!reader::complex, "a corrected transition is of real numbers");

  corrected_chunk_kernels(arena& scratch, reader& from, index_t tokens, bool backward)
      : forward_(scratch, from.shape(), tokens) {
    const bool head_gates =
        backward ? reader::may_have_head_gate_adjoint : reader::may_have_head_gate;
    from.take_room_for_chunks(scratch, tokens, head_gates);
    if constexpr (reader::may_have_head_gate)
      if (head_gates) head_gate_ = {scratch, from.shape(), tokens, forward_};
    if (!backward) return;
    adjoint_ = {scratch, from.shape(), tokens, forward_};
    if constexpr (reader::may_have_head_gate_adjoint)
      head_gate_adjoint_ = {scratch, from.shape(), tokens, head_gate_, adjoint_};
  }
  static index_t size_behind_state(const matrix_shape&) { return 0; }
  static void enter_frame(const matrix_shape&, C*) {}
  static void leave_frame(const matrix_shape&, C*) {}

  /// Returns whether q and k are those of the chunk read before.
  bool read(reader& from, index_t first, index_t count) const {
    return from.read_chunk(first, count);
  }
  void forward(reader& from, index_t first, const token_chunk<C>& c, C* state_out) const {
    read(from, first, c.tokens);
    compute(from, c, state_out);
  }
  void advance(reader& from, index_t first, token_chunk<C> c, C* state_out) const {
    read_to_advance(from, first, c);
    with_kernel(from, [&](const auto& kernel) { kernel.advance(c, state_out); });
  }
  /// The same, and what backward reads of the chunk: U, with head gates p.k behind it.
  void keep(reader& from, index_t first, token_chunk<C> c, C* kept, C* state_out) const {
    if constexpr (reader::may_have_head_gate_adjoint)
      if (from.has_head_gate()) {
        read_to_advance(from, first, c);
        return head_gate_adjoint_.keep(c, kept, state_out);
      }
    advance(from, first, c, state_out);
    copy_numbers(kept, static_cast<const C*>(forward_.u()), c.tokens * c.x.n.value_pitch);
  }
  static index_t kept_size(const matrix_shape& n, index_t tokens) {
    if constexpr (reader::may_have_head_gate_adjoint)
      return corrected_head_gate_adjoint<C>::kept_size(n, tokens);
    else
      return tokens * n.value_pitch;
  }
  /// forward of tokens that were read.
  void compute(const reader& from, token_chunk<C> c, C* state_out) const {
    c.x = from.tiles();
    with_kernel(from, [&](const auto& kernel) { kernel.forward(c, state_out); });
  }
  C* backward(const reader& from, token_chunk<C> c, const matrix_gradients<C>& d, C* g) {
    c.x = from.tiles();
    return with_adjoint(from, [&](auto& kernel) { return kernel.backward(c, d, g); });
  }
  void retreat(const reader& from, token_chunk<C> c, const matrix_gradients<C>& d, C* g, C* g_in) {
    c.x = from.tiles();
    with_adjoint(from, [&](auto& kernel) { kernel.retreat(c, d, g, g_in); });
  }

 private:
  static void read_to_advance(reader& from, index_t first, token_chunk<C>& c) {
    from.template read_chunk<reads_queries_to_advance>(first, c.tokens);
    c.x = from.tiles();
  }
  template <class F>
  void with_kernel(const reader& from, F&& f) const {
    if constexpr (reader::may_have_head_gate)
      if (from.has_head_gate()) return f(head_gate_);
    f(forward_);
  }

  template <class F>
  auto with_adjoint(const reader& from, F&& f) {
    if constexpr (reader::may_have_head_gate_adjoint)
      if (from.has_head_gate()) return f(head_gate_adjoint_);
    return f(adjoint_);
  }

  corrected_gate<C, R::form.moves> forward_;
  corrected_head_gate<C> head_gate_{};
  corrected_gate_adjoint<C, R::form.moves> adjoint_{};
  corrected_head_gate_adjoint<C> head_gate_adjoint_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
