#pragma once
// What comes of a head's o: outputs, through the recurrence's epilogue, and on the way back the
// gradient of o, and gradients of operands from those of q, k, gate and v.

#include "../operands/past_caches.hpp"
#include "reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class matrix_epilogue {
 public:
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;
  using storage = typename reader::storage;
  using tiles_of_gradients = typename reader::tiles_of_gradients;

  /// d_o does not depend on o.
  static constexpr bool simple_output = has_plain_output<R>;

  /// A result larger than the caches goes past them, where rows are whole registers.
  static bool streams(const reader& from, const operand<storage>& out) {
    const sizes& n = from.whole().n;
    return simd::whole_lines && out.value == 1 && n.values == from.shape().value_pitch &&
           goes_past_caches<C>(out, n.batch * n.time * n.heads * n.values);
  }
  static void write_outputs(const reader& from, const operand<storage>& out, index_t first,
                            index_t count, bool streaming) {
    if (!out.given) return;
    const index_t registers = from.shape().value_pitch / width;
    const C* const o = from.tiles().o;
    const values_type* const values = from.values(0);
    const auto made = from.tokens();
    const bool dense = out.value == 1;
    from.template for_each_value<!simple_output>(
        first, count, [=](const operands_type& x, const auto& at, index_t t) {
          const auto put = [&](const value_cursor& here, register_type y)
              __attribute__((always_inline)) {
            storage* const to = out.re + here.t * out.time;
            if constexpr (std::is_same_v<storage, C>)
              if (streaming) return simd::stream(to + here.value, y);
            if (dense)
              simd::store(to + here.value, 1, here.count, y);
            else
              simd::store(to + here.value * out.value, out.value, here.count, y);
          };
          if constexpr (std::is_same_v<std::decay_t<decltype(at)>, value_cursor>) {
            const index_t place = t * registers * width + at.value;
            put(at, stage::output(x, at, made[t], values[place / width], simd::load(o + place)));
          } else {  // values are made again: those that were kept lie register by register
            value_cursor one = at.first;
            const auto w = stage::values(x, at, made[t]);
            const auto y = stage::output(
                x, at, made[t], w, load_quad<false>(o + t * registers * width + one.value, 0));
            put(one, y.a), one.value += width;
            put(one, y.b), one.value += width;
            put(one, y.c), one.value += width;
            put(one, y.d);
          }
        });
  }

  /// d.d_o of every token; the epilogue's gradients of operands are collected later, tile by tile.
  static void read_output_gradients(const reader& from, const operand<const storage>& d_out,
                                    index_t first, index_t count, const matrix_gradients<C>& d) {
    const auto x = held(from.operands());
    const auto n = held(from.shape());
    C* const to = d.d_o;
    for (index_t t = 0; t < count; ++t)
      for (index_t j = 0; j < n.padded_values; j += width) {
        const value_cursor at = from.values_at(first + t, j);
        values_type d_w{};  // of no interest here, as d_t
        token_type d_t{};
        const register_type g = stage::output_adjoint(
            x, tiles_of_gradients{}, at, from.tokens()[t], d_t, from.values(t)[j / width], d_w,
            loaded_output(from, t, j), output_gradient(d_out, at));
        simd::store(to + t * n.value_pitch + j, reader::masked(g, at.count, C(0)));
      }
  }
  /// Gradients of the operands of the chunk's tokens [first, first + count), which tiles have room
  /// for; the chunk begins at token `start`. With HeadGate, gradients of gates are one a token.
  /// Those of queries and keys may be left out.
  template <bool HeadGate>
  GATESCAN_FLATTEN static void collect(const reader& from, const operand<const storage>& d_out,
                                       const matrix_gradients<C>& gradients,
                                       const tiles_of_gradients& tiles, index_t start,
                                       index_t first, index_t count, bool with_keys = true) {
    const auto x = held(from.operands());
    const auto d = held(gradients);
    const auto to = held(tiles);
    tiles_of_gradients to_keys = tiles, to_gates = tiles;
    if constexpr (HeadGate && requires { R::without_gate(tiles); }) {
      to_keys = R::without_gate(tiles);
      for_each_field<R>(
          [](auto& tile, const auto& of_keys) {
            if (of_keys.given) tile = {};
          },
          to_gates, to_keys);
    }
    const auto n = held(from.shape());
    const bool quads = from.reads_quads();
    const index_t keys = with_keys ? n.key_pitch : 0;
    for (index_t t = first; t < first + count; ++t) {
      const index_t row = t * n.rows, tile_t = t - first;
      const token_type made = from.tokens()[t];
      token_type d_t{};
      if constexpr (HeadGate) {
        key_cursor one = from.keys_at(start + t, 0, tile_t);
        one.count = 1;
        const register_type none(0);
        const register_type da = reader::masked(register_type(d.da[t]), 1, C(0));
        const auto adjoint = [&](const auto& g) {
          stage::keys_adjoint(x, to_gates, one, made, d_t, g);
        };
        if constexpr (reader::corrects)
          adjoint(corrected_keys_of<register_type>{none, none, da, none});
        else
          adjoint(keys_of<register_type>{none, none, da});
      }
      const auto collect_keys = [&](const auto& at, auto&& load) {
        using E = decltype(load(d.dq));
        const E dq = load(d.dq), dk = load(d.dk), da = HeadGate ? E{} : load(d.da);
        const auto adjoint = [&](const auto& g) {
          stage::keys_adjoint(x, to_keys, at, made, d_t, g);
        };
        if constexpr (reader::low_rank)
          adjoint(low_rank_keys_of<E>{dq, dk, da, load(d.dp), load(d.db)});
        else if constexpr (reader::corrects)
          adjoint(corrected_keys_of<E>{dq, dk, da, load(d.dp)});
        else if constexpr (reader::has_own_key)
          adjoint(keys_and_own_of<E>{dq, dk, da, load(d.d_own)});
        else
          adjoint(keys_of<E>{dq, dk, da});
      };
      for (index_t i = 0; quads && i < keys; i += quad::width)
        collect_keys(quad{from.keys_at(start + t, i, tile_t)}, [=](const C* rows) {
          return load_quad<complex>(rows + row + i, n.key_pitch);
        });
      for (index_t i = 0; !quads && i < keys; i += width) {
        const key_cursor at = from.keys_at(start + t, i, tile_t);
        collect_keys(at, [=](const C* rows) {
          const auto g = load_keys<complex>(rows + row, i, n.key_pitch);
          return has_token<R> ? reader::masked(g, at.count, C(0)) : g;  // d_t adds all lanes up
        });
      }
      for (index_t j = 0; j < n.padded_values; j += width) {
        const value_cursor at = from.values_at(start + t, j, tile_t);
        const values_type w = from.values(t)[j / width];
        values_type d_w{};
        stage::output_adjoint(x, to, at, made, d_t, w, d_w, loaded_output(from, t, j),
                              output_gradient(d_out, at));
        d_w.v = d_w.v + simd::load(d.dv + t * n.value_pitch + j);
        stage::values_adjoint(x, to, at, made, d_t, w, d_w);
      }
      stage::token_adjoint(x, to, from.token_at(start + t, tile_t), made, d_t);
    }
  }

 private:
  static constexpr bool complex = reader::complex;
  static constexpr index_t width = reader::width;
  using operands_type = typename reader::operands_type;
  using register_type = typename reader::register_type;
  using stage = typename reader::stage;
  using token_type = typename reader::token_type;
  using values_type = typename reader::values_type;
  using key_cursor = typename reader::key_cursor;
  using value_cursor = typename reader::value_cursor;
  using quad = typename reader::quad;

  static register_type output_gradient(const operand<const storage>& d_out,
                                       const value_cursor& at) {
    if (!d_out.given) return register_type(0);
    return reader::masked(at(d_out), at.count, C(0));
  }
  static register_type loaded_output(const reader& from, index_t t, index_t j) {
    return simple_output ? register_type(0)
                         : simd::load(from.tiles().o + t * from.shape().value_pitch + j);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
