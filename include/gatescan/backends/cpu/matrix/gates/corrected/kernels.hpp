#pragma once
// Chunks of a head whose transition is corrected. Gates that all keys share are a gate a key here.

#include "../../reader.hpp"
#include "backward.hpp"

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
    from.take_room_for_chunks(scratch, tokens, false);
    if (backward) adjoint_ = {scratch, from.shape(), tokens, forward_};
  }
  static index_t size_behind_state(const matrix_shape&) { return 0; }
  static void enter_frame(const matrix_shape&, C*) {}
  static void leave_frame(const matrix_shape&, C*) {}

  void read(reader& from, index_t first, index_t count) const { from.read_chunk(first, count); }
  void forward(reader& from, index_t first, const token_chunk<C>& c, C* state_out) const {
    read(from, first, c.tokens);
    compute(from, c, state_out);
  }
  void advance(reader& from, index_t first, token_chunk<C> c, C* state_out) const {
    from.template read_chunk<reads_queries_to_advance>(first, c.tokens);
    c.x = from.tiles();
    forward_.advance(c, state_out);
  }
  /// forward of tokens that were read.
  void compute(const reader& from, token_chunk<C> c, C* state_out) const {
    c.x = from.tiles();
    forward_.forward(c, state_out);
  }
  C* backward(const reader& from, token_chunk<C> c, const matrix_gradients<C>& d, C* g) {
    c.x = from.tiles();
    return adjoint_.backward(c, d, g);
  }
  void retreat(const reader& from, token_chunk<C> c, const matrix_gradients<C>& d, C* g,
               C* g_in) const {
    c.x = from.tiles();
    adjoint_.retreat(c, d, g, g_in);
  }

 private:
  corrected_gate<C, R::form.moves> forward_;
  corrected_gate_adjoint<C, R::form.moves> adjoint_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
