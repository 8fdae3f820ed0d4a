#pragma once
// Rows of a diagonal recurrence without keys: there is little to do but to move memory, so it is
// read and written as it lies there.

#include "../operands/noting_cursor.hpp"
#include "channels.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool IsComplex>
struct channel_rows : channels<R, T, IsComplex> {
  using base = channels<R, T, IsComplex>;
  using base::lanes;
  using base::n;
  using typename base::C;
  using typename base::E;
  using typename base::pair;
  using typename base::register_type;
  using typename base::row;
  using typename base::single;
  template <class Tokens>
  using elements_of = typename base::template elements_of<Tokens>;
  template <class Tokens>
  using values_of = typename base::template values_of<Tokens>;
  template <class Tokens>
  using output_of = typename base::template output_of<Tokens>;
  template <class Tokens, class Walk>
  using walk_of = typename base::template walk_of<Tokens, Walk>;

  C* notes = nullptr;  // noting_cursor.hpp

  /// Walks all `channels_in_use` of the block through tokens [first, first + count). walks: one a
  /// register. With WithOutput the results are written, and NaN in what is returned tells of Inf or
  /// NaN in them.
  template <bool WithOutput, class Walk, class S>
  E rows(index_t first, index_t count, index_t channels_in_use, const operand<S>& result,
         bool streaming, Walk* walks) const {
    const index_t registers = channels_in_use / lanes;
    if (channels_in_use == n.width && this->template fits<row>(count))
      return whole_rows<WithOutput>(first, count, result, streaming, walks);
    if (channels_in_use == n.width && registers == pair::registers &&
        this->template fits<pair>(count))
      return pair_rows<WithOutput>(first, count, result, streaming, walks);
    if (channels_in_use == lanes)
      return one_register<WithOutput>(first, count, result, streaming, *walks);
    channel_rows here = held(*this);
    const operand<S> out = held(result);
    E check = constant<IsComplex>(C(0));
    for (index_t t = first; t < first + count; ++t) {
      here.in_use = lanes;
      for (index_t r = 0; r < registers; ++r)
        check = check + here.template row_step<WithOutput>(out, first, t, r, walks[r], streaming);
      here.in_use = static_cast<int>(channels_in_use - registers * lanes);
      if (here.in_use > 0)
        check = check + here.template row_step<WithOutput>(out, first, t, registers,
                                                           walks[registers], false);
    }
    return check;
  }

 private:
  template <bool WithOutput, class Walk, class S>
  GATESCAN_INLINE E row_step(const operand<S>& out, index_t first, index_t t, index_t r, Walk& walk,
                             bool streaming) {
    this->w = r * lanes;
    const noting<single, C> here{this->template at<single>(t), notes, t == first};
    const values_of<single> value = this->values(here);
    Walk h = walk;
    const E o = h.next(this->gate(here, value), value.v);
    walk = h;
    if constexpr (!WithOutput) return constant<IsComplex>(C(0));
    this->write(out, t, 0, this->output(here, value, o), streaming);
    return o * register_type(0);
  }
  // Row by row, four registers at a time.
  template <bool WithOutput, class Walk, class S>
  GATESCAN_FLATTEN E whole_rows(index_t first, index_t count, const operand<S>& result,
                                bool streaming, Walk* walks) const {
    using elements = elements_of<row>;
    channel_rows here = held(*this);
    here.in_use = lanes;
    here.go_on(first);
    operand<S> out = held(result);
    if constexpr (WithOutput) base::go_on(out, first);
    elements check = constant_of<elements>(C(0));
    const index_t registers = n.width / lanes;
    const index_t distance = rows_ahead(count);
    for (index_t t = 0; t < count; ++t) {
      for (index_t r = 0; r < registers; r += row::registers) {
        here.w = r * lanes;
        if (distance != 0) here.template ask_for_row<row::registers * lanes>(distance);
        const noting<row, C> place{here.template at<row>(0), notes, t == 0};
        const values_of<row> value = here.values(place);
        const elements a = here.gate(place, value);
        elements o;
#pragma GCC unroll 4
        for (index_t j = 0; j < row::registers; ++j) {
          Walk h = walks[r + j];
          set(o, j, h.next(get(a, j), get(value.v, j)));
          walks[r + j] = h;
        }
        if constexpr (!WithOutput) continue;
        const output_of<row> y = here.output(place, value, o);
#pragma GCC unroll 4
        for (index_t j = 0; j < row::registers; ++j) here.write(out, 0, j, get(y, j), streaming);
        // as the recurrence stands nothing is done about what is not finite
        if constexpr (!std::is_same_v<Walk, stepped_state<IsComplex, C>>)
          check = fma(o, constant_of<elements>(C(0)), check);
      }
      here.go_on(1);
      if constexpr (WithOutput) base::go_on(out, 1);
    }
    return sum_of_parts(check);
  }
  // All of a row, two tokens at a time.
  template <bool WithOutput, class Walk, class S>
  GATESCAN_FLATTEN E pair_rows(index_t first, index_t count, const operand<S>& result,
                               bool streaming, Walk* walks) const {
    using elements = elements_of<pair>;
    channel_rows here = held(*this);
    here.in_use = lanes;
    const operand<S> out = held(result);
    elements check = constant_of<elements>(C(0));
    walk_of<pair, Walk> h(walks);
    const index_t distance = rows_ahead(count);
    for (index_t t = first; t < first + count; t += pair::tokens) {
      for (index_t j = 0; j < pair::tokens; ++j)
        if (distance != 0) here.template ask_for_row<pair::registers * lanes>(t + j + distance);
      const pair place = here.template at<pair>(t);
      const values_of<pair> value = here.values(place);
      elements o;
      h.next(here.gate(place, value), value.v, o);
      if constexpr (!WithOutput) continue;
      const output_of<pair> y = here.output(place, value, o);
#pragma GCC unroll 4
      for (index_t j = 0; j < 4; ++j) here.write(out, t + j / 2, j % 2, get(y, j), streaming);
      check = fma(o, constant_of<elements>(C(0)), check);
    }
    h.store(walks);
    return sum_of_parts(check);
  }
  // How many rows before a row is worked on it is asked for; 0 where there are too few.
  index_t rows_ahead(index_t count) const {
    constexpr index_t least = tuning.rows_ahead_bytes / index_t{sizeof(storage_t<T>)};
    const index_t rows = (std::max)(tuning.rows_ahead, least / n.width);
    return rows < count ? rows : 0;
  }
  static E sum_of_parts(const elements_of<row>& x_in) {
    return (get(x_in, 0) + get(x_in, 1)) + (get(x_in, 2) + get(x_in, 3));
  }
  // Its state stays in a register.
  template <bool WithOutput, class Walk, class S>
  E one_register(index_t first, index_t count, const operand<S>& result, bool streaming,
                 Walk& walk) const {
    channel_rows here = held(*this);
    here.in_use = lanes;
    const operand<S> out = held(result);
    Walk h = walk;
    E check = constant<IsComplex>(C(0));
    for (index_t t = first; t < first + count; ++t)
      check = check + here.template row_step<WithOutput>(out, first, t, 0, h, streaming);
    walk = h;
    return check;
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
