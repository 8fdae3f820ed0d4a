#pragma once
// Matrix states, what the programs share: the types of a problem, the sizes of its tiles, and the
// operands and states of one head.

#include "../operands/gradients.hpp"
#include "../time_split.hpp"
#include "../tuning.hpp"
#include "warp_product.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Operands in float whose products are made in tf32: a format of its own to the programs.
template <class T>
struct with_tf32 {};
template <class T>
struct format<with_tf32<T>> : format<T> {};
template <class T>
inline constexpr bool is_tf32 = false;
template <class T>
inline constexpr bool is_tf32<with_tf32<T>> = true;

/// Operands in 16 bits whose products are made by warpgroups where there is a program for that.
template <class T>
struct by_warpgroups {};
template <class T>
struct format<by_warpgroups<T>> : format<T> {};
template <class T>
inline constexpr bool is_by_warpgroups = false;
template <class T>
inline constexpr bool is_by_warpgroups<by_warpgroups<T>> = true;

/// Floats of a problem in 16 bits, which are multiplied in parts of bfloat16 as its operands are.
template <class T>
struct in_parts {};
template <class T>
struct format<in_parts<T>> : format<T> {};
template <class T>
inline constexpr bool is_in_parts = false;
template <class T>
inline constexpr bool is_in_parts<in_parts<T>> = true;

namespace gpu {
namespace matrix {

template <class R, class T>
struct tile_config {
  static constexpr bool complex = R::form.number == numbers::complex;
  using problem = problem_of<R, T>;
  using C = state_t<T>;
  using S = storage_t<T>;
  using E = number_t<C, complex>;
  using D = number_t<double, complex>;
  using cursor = gpu::cursor<C, complex>;
  using fields = operands_of<R, T>;
  using sinks = gradient_sinks_of<R, T>;
  using sums = typename R::template fields<accumulator<C>>;
  using operands_to = result_operands_of<R, T>;

  static constexpr int planes = complex ? 2 : 1;
  static constexpr int threads = tuned.block_threads;
  static constexpr int subchunk = tuned.subchunk;
  static constexpr int tokens = tuned.tile_tokens;
  static constexpr int rows = tuned.tile_bytes / static_cast<int>(sizeof(C));  // real ones, of keys
  static constexpr int keys = rows / planes;
  static constexpr int values = tuned.tile_bytes / static_cast<int>(sizeof(C));
  // operands of 16 bits are multiplied in bfloat16, each number as two or three of them
  static constexpr bool in_tf32 = is_tf32<T>;
  static constexpr bool splits = (sizeof(S) == 2 || is_in_parts<T>)&&sizeof(C) == 4;
  static constexpr bool by_warps = splits || in_tf32;
  template <int N, bool Exactly = false>
  using warp_products = std::conditional_t<in_tf32, tf32_sums<N>, warp_sums<N, Exactly>>;
  // Lanes of a matrix unit read 8 numbers of every second row of an array (in tf32 of every row):
  // so far apart are rows that they meet all banks.
  static constexpr int apart = in_tf32 ? 8 : 4;
  static constexpr int row_pitch = rows + apart, value_pitch = values + apart,
                       score_pitch = tokens + apart;
  static constexpr int blocks_a_multiprocessor = sizeof(E) > 4    ? 0
                                                 : is_in_parts<T> ? tuned.row_blocks
                                                                  : tuned.chunk_blocks;
  static constexpr int key_side_rows = rows / 2, key_side_keys = splits ? warp_threads : keys / 2;
};

template <class R, class T>
GATESCAN_HD auto head_operands(const problem_of<R, T>& p, index_t batch, index_t head) {
  auto x = p.x;
  R::operands([&](const char*, const axes&, presence, const auto& all,
                  auto& of_head) { of_head = all.of_head(batch, head, 0); },
              p.x, x);
  return x;
}

/// Operands of a head moved on by so many tokens, keys and values.
template <class R, class T>
GATESCAN_HD void move_operands(typename tile_config<R, T>::fields& x, index_t tokens, index_t keys,
                               index_t values = 0) {
  R::operands(
      [&](const char*, const axes&, presence, auto& o) {
        const index_t by = tokens * o.time + keys * o.key + values * o.value;
        o.re += by;  // 0 of what is not given
        if (tile_config<R, T>::complex && o.im != nullptr) o.im += by;
      },
      x);
}

/// The state of one sequence's head in the caller's memory; 0 where it is not given.
template <class E, class C>
GATESCAN_HD E load_state(const operand<const C>& from, index_t sequence, index_t head, index_t key,
                         index_t value) {
  if (!from.given) return E{};
  return cursor<C, !std::is_same_v<E, C>>{sequence, 0, head, key, value}.element(from);
}
template <class E, class C>
GATESCAN_HD void store_state(const operand<C>& to, index_t sequence, index_t head, index_t key,
                             index_t value, E x) {
  if (!to.given) return;
  const index_t o = to.offset(sequence, 0, head) + key * to.key + value * to.value;
  store_number(to, o, x);
}

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
