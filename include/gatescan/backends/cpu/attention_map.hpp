#pragma once
// Writes the surrogate attention map, one row of queries at a time, by running products of gates.

#include "execute.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// One row of gates, queries or keys at a time needs room for K numbers; keys are taken a register
// at a time, so that nothing is allocated.
template <class R, class T, bool Complex, class Map>
void write_map_row(const problem_of<R, T>& p, const Map& map, index_t sequence, index_t h,
                   index_t t) {
  using C = state_t<T>;
  using E = element_t<C, Complex>;
  constexpr index_t width = simd::lanes<C>;
  const index_t b = p.batch_of(sequence), start = p.first_token(sequence);
  auto x = p.x;
  R::operands([&](const char*, const axes&, presence, auto& lane) { lane = lane.lane(b, h, 0); },
              x);
  const auto put = [&](index_t channel, index_t s, C re, C im) {
    index_t at = b * map.stride[0] + h * map.stride[1];
    if (map.rank == 5) at += channel * map.stride[2];
    if constexpr (R::gate_kind == gating::per_entry)
      if (map.rank == 4) at = b * map.stride[0] + (h * p.n.values + channel) * map.stride[1];
    at += t * map.stride[map.rank - 2] + s * map.stride[map.rank - 1];
    if constexpr (requires { map.im; }) {
      map.re[at] = convert<std::remove_pointer_t<decltype(map.re)>>(re);
      if (map.im != nullptr) map.im[at] = convert<std::remove_pointer_t<decltype(map.re)>>(im);
    } else {
      map.data[at] = convert<std::remove_pointer_t<decltype(map.data)>>(re);
    }
  };
  const index_t channels = R::gate_kind == gating::per_key ? 1 : p.n.values;
  for (index_t channel = 0; channel < channels; ++channel)
    for (index_t s = 0; s < p.n.time; ++s) put(channel, s, C(0), C(0));

  if constexpr (R::gate_kind == gating::per_key) {
    using at_keys = cursor<C, Complex, along::keys>;
    for (index_t i = 0; i < p.n.keys; i += width) {
      const int count = static_cast<int>(std::min(width, p.n.keys - i));
      E q = R::keys(x, at_keys{t, i, 0, count}).q;
      for (index_t s = t; s >= start; --s) {
        const auto key = R::keys(x, at_keys{s, i, 0, count});
        const simd::pack<C> score = simd::first_lanes(add_real_product(q, key.k, simd::pack<C>(0)),
                                                      count, simd::pack<C>(0));
        const index_t at =
            b * map.stride[0] + h * map.stride[1] + t * map.stride[2] + s * map.stride[3];
        using element = std::remove_pointer_t<decltype(map.data)>;
        map.data[at] = convert<element>(convert<C>(map.data[at]) + simd::sum(score));
        q = reset_to(key.gate, constant<Complex>(C(0)), q * key.gate);
      }
    }
  } else {
    using at_values = cursor<C, Complex, along::values>;
    for (index_t v = 0; v < p.n.values; v += width) {
      const int count = static_cast<int>(std::min(width, p.n.values - v));
      const auto here = [&](index_t time, index_t i) { return at_values{time, i, v, count}; };
      for (index_t s = t; s >= start; --s) {
        E score = constant<Complex>(C(0));
        for (index_t i = 0; i < p.n.keys; ++i) {
          E w = constant<Complex>(C(1));
          if constexpr (!has_unit_keys<R>())
            w = R::keys(x, here(t, i)).q * R::keys(x, here(s, i)).k;
          for (index_t j = s + 1; j <= t; ++j) {
            const E a = R::gate(x, here(j, i), R::values(x, here(j, i)));
            w = reset_to(a, constant<Complex>(C(0)), w * a);
          }
          score = score + w;
        }
        alignas(simd::register_bytes) C re[simd::lanes<C>], im[simd::lanes<C>] = {};
        if constexpr (Complex) {
          simd::store(re, score.re);
          simd::store(im, score.im);
        } else {
          simd::store(re, score);
        }
        for (index_t c = 0; c < count; ++c) put(v + c, s, re[c], im[c]);
      }
    }
  }
}

template <class R, class T, class Map>
void write_attention_map(const cpu& backend, const problem_of<R, T>& p, const Map& map) {
  const index_t rows = p.n.heads * p.n.time;
  parallel_for(backend, p.n.sequences * rows, [&](index_t job, int) {
    const index_t sequence = job / rows, h = job % rows / std::max<index_t>(p.n.time, 1);
    const index_t t = job % std::max<index_t>(p.n.time, 1);
    if (t < p.first_token(sequence) || t >= p.last_token(sequence)) return;
    if constexpr (R::number_kind != numbers::real)
      if (p.complex) return write_map_row<R, T, true>(p, map, sequence, h, t);
    if constexpr (R::number_kind != numbers::complex)
      write_map_row<R, T, false>(p, map, sequence, h, t);
  });
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
