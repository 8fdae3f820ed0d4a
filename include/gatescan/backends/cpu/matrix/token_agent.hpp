#pragma once
// One token of a head of a matrix-state recurrence (../agents/token_agent.hpp): prologue, one step
// of the state, epilogue. The state stays where the caller has it if its rows are whole registers,
// and goes through a copy else.

#include "../agents/token_agent.hpp"
#include "normaliser.hpp"
#include "state_layout.hpp"
#include "steps/kernels.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_token_agent {
  using reader = matrix_reader<R, T>;
  using stage = typename reader::stage;
  using storage = typename reader::storage;
  using C = typename reader::C;
  using operands_type = typename reader::operands_type;
  using token_type = typename reader::token_type;
  using values_type = typename reader::values_type;
  static constexpr bool complex = reader::complex;
  static constexpr index_t width = reader::width;

 public:
  using format = T;
  using problem = typename reader::problem;

  static index_t value_blocks(const sizes&) { return 1; }

  matrix_token_agent(arena& scratch, const problem& p)
      : p_(p),
        tiles_(scratch, matrix_shape::of<C>(p.n.keys, p.n.values, complex, false, p.normalised), 1,
               R::form),
        values_(scratch.take<values_type>(tiles_.n.value_pitch / width)),
        state_(scratch.take<C>(tiles_.n.state_size())) {}

  void step(const forward_results<T>& to, index_t sequence, index_t head, index_t) const {
    const index_t batch = p_.batch_of(sequence);
    operands_type x = p_.x;
    for_each_field<R>([&](auto& own) { own.go_to_head(batch, head, 0); }, x);
    const token_type made =
        stage::token(x, token_cursor<C, complex>{0, p_.n.keys}, p_.weights.at(batch, 0, head));
    read(x, made);
    advance(to.final_state, sequence, head);
    if (to.out.given) write(x, made, to.out.of_head(batch, head, 0));
  }

 private:
  using value_cursor = typename reader::value_cursor;

  value_cursor values_at(index_t j) const {
    return {0, 0, j, static_cast<int>((std::min)(width, tiles_.n.values - j))};
  }
  GATESCAN_INLINE void read(const operands_type& x, const token_type& made) const {
    const auto tiles = held(tiles_);
    const matrix_shape& n = tiles.n;
    for (index_t i = 0; i < n.key_pitch; i += width) {
      const typename reader::key_cursor at{0, i, 0, reader::keys_in_use(n, i)};
      reader::template put_keys<true, true>(stage::keys(x, at, made), n, tiles, 0, i);
    }
    for (index_t j = 0; j < n.padded_values; j += width) {
      const value_cursor at = values_at(j);
      values_type w = stage::values(x, at, made);
      w.v = reader::masked(w.v, at.count, C(0));
      values_[j / width] = w;
      simd::store(tiles.v + j, w.v);
    }
    if (p_.normalised) put_in_column(n, tiles.v, C(1));
  }
  GATESCAN_INLINE void advance(const state_operands<C>& state, index_t sequence,
                               index_t head) const {
    const matrix_shape& n = tiles_.n;
    const state_layout<C, complex> states{n, n.state_size()};
    if (states.rows_are_whole(state)) {
      const index_t at = state.offset(sequence, 0, head);
      return kernel_.step(tiles_, {state.re + at, complex ? state.im + at : nullptr, state.key});
    }
    states.load(state, sequence, head, state_);
    kernel_.step(tiles_, {state_, state_ + n.key_pitch * n.state_pitch, n.state_pitch});
    states.store(state, sequence, head, state_);
  }
  GATESCAN_INLINE void write(const operands_type& x, const token_type& made,
                             const operand<storage>& out) const {
    if constexpr (R::form.normaliser)
      if (p_.normalised)
        matrix_normaliser<R, T>::divide(tiles_.n, x, token_cursor<C, complex>{0, p_.n.keys}, made,
                                        tiles_.o);
    for (index_t j = 0; j < tiles_.n.padded_values; j += width) {
      const value_cursor at = values_at(j);
      simd::store(out.re + j * out.value, out.value, at.count,
                  stage::output(x, at, made, values_[j / width], simd::load(tiles_.o + j)));
    }
  }

  const problem& p_;
  matrix_tiles<C> tiles_;
  values_type* values_;  // what R::values returned, a register at a time
  C* state_;             // padded, where the caller's rows are not whole registers
  token_kernel<R, T> kernel_{};
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
