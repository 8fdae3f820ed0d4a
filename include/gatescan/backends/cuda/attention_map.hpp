#pragma once
// Writes the surrogate attention map P (time x time a head, or a channel where gates are of
// channels)
//
//   P_ts = Re sum_n q_t[n] k_s[n] prod_{j=s+1..t} a_j[n]   for s <= t
//
// by running products of gates: a few lanes of a warp share the keys of one row P_t and go back
// through its tokens.

#include <type_traits>

#include "../../core/concepts.hpp"
#include "../../core/problem.hpp"
#include "backend.hpp"
#include "channel_averages/attention_map.hpp"
#include "matrix/lowered/attention_map.hpp"
#include "numbers.hpp"
#include "operands/cursor.hpp"
#include "operands/map_place.hpp"
#include "time_split.hpp"
#include "toolbox.hpp"
#include "tuning.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class R, class T, bool IsComplex, class Map>
struct attention_map_rows {
  using S = storage_t<T>;
  using C = state_t<T>;
  using E = number_t<C, IsComplex>;
  using cursor = gpu::cursor<C, IsComplex>;
  using operands = operands_of<R, T>;
  static constexpr bool per_key = R::form.gate != gate_span::entry;
  static constexpr bool unit_keys = has_unit_keys<R>();

  problem_of<R, T> p;
  Map map;
  time_split split;
  int lanes = 1;  // of a row
  index_t keys_a_lane = 1;
  int block_threads = tuned.block_threads;

  attention_map_rows(const problem_of<R, T>& of, const Map& to)
      : p(of), map(to), split(of.n, of.offsets, of.n.time) {
    while (lanes < warp_threads && lanes < p.n.keys) lanes *= 2;
    keys_a_lane = ceil_divide(p.n.keys, lanes);
    while (block_threads > warp_threads && shared_bytes() > tuned.map_shared_bytes)
      block_threads /= 2;
  }
  GATESCAN_HD index_t channels() const { return p.n.heads * (per_key ? 1 : p.n.values); }
  index_t blocks() const {
    return ceil_divide(p.n.batch * channels() * p.n.time * lanes, threads());
  }
  int threads() const { return block_threads; }
  int shared_bytes() const {
    return shared_size<C>(keys_a_lane * block_threads) * (IsComplex ? 2 : 1);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto real = block.template shared<C>(keys_a_lane * block.threads());
    const auto imaginary = block.template shared<C>(IsComplex ? keys_a_lane * block.threads() : 0);
    const index_t row = (block.index() * block.threads() + block.thread()) / lanes;
    const index_t rows = p.n.batch * channels() * p.n.time;
    const bool mine = row < rows;
    const index_t nth = mine ? row : 0;
    const index_t t = nth % p.n.time, channel = nth / p.n.time % channels();
    const index_t batch = nth / p.n.time / channels();
    const index_t head = per_key ? channel : channel / p.n.values;
    const index_t value = per_key ? 0 : channel % p.n.values;
    const index_t sequence = split.sequence_at(batch, t);
    const index_t first = sequence < 0 ? t + 1 : split.first_token(sequence);
    operands x = p.x;
    R::operands([&](const char*, const axes&, presence, const auto& all,
                    auto& of_row) { of_row = all.of_head(batch, head, value); },
                p.x, x);
    const int part = block.thread() % lanes;
    const auto slot = [&](index_t n) { return n * block.threads() + block.thread(); };

    for (index_t n = 0; n < keys_a_lane; ++n) {
      const index_t i = n * lanes + part;
      E q = number_cast<E>(1);
      if constexpr (!unit_keys)
        if (i < p.n.keys) q = R::keys(x, cursor{0, t, 0, i, 0}).q;
      keep(real, imaginary, slot(n), q);
    }
    const index_t row_at = offset(batch, head, value) + t * map.stride[map.rank - 2];
    for (index_t s = p.n.time - 1; s >= 0; --s) {
      E sum = number_cast<E>(0);
      for (index_t n = 0; n < keys_a_lane; ++n) {
        const index_t i = n * lanes + part;
        if (i >= p.n.keys || s > t || s < first) continue;
        const cursor at{0, s, 0, i, 0};
        const E q = kept(real, imaginary, slot(n));
        E gate;
        if constexpr (per_key) {
          const auto key = R::keys(x, at);
          sum = sum + q * key.k;
          gate = key.gate;
        } else {
          if constexpr (unit_keys)
            sum = sum + q;
          else
            sum = fma(q, E(R::keys(x, at).k), sum);
          gate = R::gate(x, at, R::values(x, cursor{0, s, 0, 0, 0}));
        }
        keep(real, imaginary, slot(n), is_zero(gate) ? number_cast<E>(0) : q * gate);
      }
      for (int m = 1; m < lanes; m *= 2) sum = sum + exchange(block, sum, m);
      if (mine && part == 0) put(row_at + s * map.stride[map.rank - 1], sum);
    }
  }

 private:
  // The map's element (0, 0) of a head's channel; per-key recurrences have one channel.
  GATESCAN_HD index_t offset(index_t batch, index_t head, index_t value) const {
    if (per_key) return batch * map.stride[0] + head * map.stride[1];
    if (map.rank == 4) return batch * map.stride[0] + (head * p.n.values + value) * map.stride[1];
    return batch * map.stride[0] + head * map.stride[1] + value * map.stride[2];
  }
  GATESCAN_HD void put(index_t at, E x) const {
    put_real(map, at, real_part(x));
    if constexpr (IsComplex && !per_key && requires { map.im; })
      if (map.im != nullptr) map.im[at] = convert<std::remove_reference_t<decltype(*map.im)>>(x.im);
  }
  template <class Array>
  GATESCAN_HD static void keep(const Array& re, const Array& im, index_t at, E x) {
    if constexpr (IsComplex)
      re[at] = x.re, im[at] = x.im;
    else
      re[at] = x;
  }
  template <class Array>
  GATESCAN_HD static E kept(const Array& re, const Array& im, index_t at) {
    if constexpr (IsComplex)
      return {re[at], im[at]};
    else
      return re[at];
  }
  template <class Block>
  GATESCAN_HD static C exchange(Block& block, C x, int m) {
    return block.shuffle_xor(x, m);
  }
  template <class Block>
  GATESCAN_HD static cplx<C> exchange(Block& block, cplx<C> x, int m) {
    return {block.shuffle_xor(x.re, m), block.shuffle_xor(x.im, m)};
  }
};

}  // namespace gpu

template <device_backend Device, class R, class T, class Map>
void write_attention_map(const Device& gpu, const problem_of<R, T>& p, const Map& map) {
  if constexpr (average_form<R>) {
    launch(gpu, gpu::averages::attention_map_rows<R, T, Map>(p, map));
  } else if constexpr (attention_form<R> && !is_plain_product<R>) {
    gpu::matrix::write_attention_map_columns(gpu, p, map);
  } else {
    if constexpr (R::form.number != numbers::real)
      if (p.complex) return launch(gpu, gpu::attention_map_rows<R, T, true, Map>(p, map));
    if constexpr (R::form.number != numbers::complex)
      launch(gpu, gpu::attention_map_rows<R, T, false, Map>(p, map));
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
