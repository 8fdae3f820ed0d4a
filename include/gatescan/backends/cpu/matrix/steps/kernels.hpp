#pragma once
// Recurrent mode of a head: its tokens one after another.

#include "../gates/corrected/steps_backward.hpp"
#include "../reader.hpp"
#include "backward.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// What takes tokens, of one form.
template <class R, class T, class Reader = matrix_reader<R, T>>
using token_kernel =
    std::conditional_t<Reader::corrects, corrected_token_steps<typename Reader::C, R::form.moves>,
                       token_steps<typename Reader::C, Reader::complex, R::form.reads>>;

template <class R, class T>
class step_kernels {
 public:
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;
  static constexpr bool reads_queries_to_advance = true;  // o is made on the way

  step_kernels(arena& scratch, const reader& from, index_t tokens, bool backward) {
    if (backward) adjoint_ = {scratch, from.shape(), tokens};
  }
  static index_t size_behind_state(const matrix_shape&) { return 0; }

  bool read(reader& from, index_t first, index_t count) const {
    from.read_tokens(first, count);
    return false;
  }
  void forward(reader& from, index_t first, const token_chunk<C>& c, C* state_out) const {
    read(from, first, c.tokens);
    compute(from, c, state_out);
  }
  void advance(reader& from, index_t first, const token_chunk<C>& c, C* state_out) const {
    forward(from, first, c, state_out);
  }
  /// forward of tokens that were read.
  void compute(const reader&, const token_chunk<C>& c, C* state_out) const {
    forward_.forward(c, state_out);
  }
  C* backward(const reader&, const token_chunk<C>& c, const matrix_gradients<C>& d, C* g) const {
    return adjoint_.backward(c, d, g);
  }

 private:
  using adjoint_kernel =
      std::conditional_t<reader::corrects, corrected_token_steps_adjoint<C, R::form.moves>,
                         token_steps_adjoint<C, reader::complex, R::form.reads>>;
  token_kernel<R, T> forward_{};
  adjoint_kernel adjoint_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
