#pragma once
// Writes the surrogate attention map, one row of queries at a time, by running products of gates.

#include <memory>
#include <vector>

#include "../../../core/problem.hpp"
#include "../diagonal/channel_averages/average.hpp"
#include "../operands/token_cursor.hpp"
#include "../simd/selects.hpp"
#include "../threads/parallel_for.hpp"
#include "token_weights.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Rows P_t of one head, or of a register of channels of a diagonal recurrence: planes[s] is P_ts.
template <class R, class T, bool IsComplex>
class map_rows {
 public:
  using C = state_t<T>;
  using E = element_t<C, IsComplex>;
  static constexpr index_t width = simd::lanes<C>;
  static constexpr bool per_key = R::form.gate != gate_span::entry;
  static constexpr bool corrects = R::form.moves != transition::diagonal;
  static constexpr bool low_rank = R::form.moves == transition::low_rank;
  static constexpr bool exclusive = R::form.reads == readout::exclusive;

  map_rows(const problem_of<R, T>& p, index_t sequence, index_t h)
      : p_(p), x_(p.x), sequence_(sequence), head_(h), first_(p.first_token(sequence)) {
    for_each_field<R>([&](auto& x) { x.go_to_head(p.batch_of(sequence), h, 0); }, x_);
    if constexpr (has_token<R>)
      for (index_t t = first_; t < p.last_token(sequence); ++t)
        tokens_.push_back(
            stages<R>::token(x_, one_token{t, p.n.keys}, p.weights.at(p.batch_of(sequence), t, h)));
    if constexpr (corrects) query_.resize(static_cast<std::size_t>(padded<C>(p.n.keys)));
  }
  // sums[s] for s in [start, t], channels [v, v + width) along the lanes (per key: lanes add up)
  void row(index_t start, index_t t, index_t v, E* sums) {
    for (index_t s = start; s <= t; ++s) sums[s] = constant<IsComplex>(C(0));
    if constexpr (average_form<R>) {
      averaged_row(start, t, v, sums);
    } else if constexpr (corrects) {
      corrected_row(start, t, sums);
    } else if constexpr (per_key) {
      simd::pack<C> initial(0);  // what is read of the normaliser's initial state
      for (index_t i = 0; i < p_.n.keys; i += width) {
        const int count = static_cast<int>((std::min)(width, p_.n.keys - i));
        const auto at = [&](index_t s) { return key_cursor{s, i, 0, count}; };
        const auto own = keys(at(t));
        E q = own.q;
        for (index_t s = t; s >= start; --s) {
          const auto key = keys(at(s));
          E k = key.k;
          if constexpr (exclusive)
            if (s == t) k = own.own;
          const simd::pack<C> score = add_real_product(q, k, simd::pack<C>(0));
          add_real(sums[s], simd::first_lanes(score, count, simd::pack<C>(0)));
          if (exclusive && s == t) continue;  // reads the state before its own gate
          q = reset_to(key.gate, constant<IsComplex>(C(0)), q * key.gate);
        }
        if constexpr (R::form.normaliser)
          if (const auto& n = p_.initial_state.normaliser; n.given)
            initial += simd::first_lanes(
                q * simd::load<C>(n.re + n.offset(sequence_, 0, head_) + i * n.key, n.key, count),
                count, simd::pack<C>(0));
      }
      if constexpr (R::form.normaliser)
        if (p_.normalised) normalise(start, t, simd::sum(initial), sums);
    } else {
      const int count = static_cast<int>((std::min)(width, p_.n.values - v));
      for (index_t i = 0; i < p_.n.keys; ++i) {
        const auto at = [&](index_t s) { return value_cursor{s, i, v, count}; };
        E q = constant<IsComplex>(C(1));
        if constexpr (!has_unit_keys<R>()) q = R::keys(x_, at(t)).q;
        for (index_t s = t; s >= start; --s) {
          if constexpr (has_unit_keys<R>())
            sums[s] = sums[s] + q;
          else
            sums[s] = fma(q, R::keys(x_, at(s)).k, sums[s]);
          const E a = R::gate(x_, at(s), R::values(x_, at(s)));
          q = reset_to(a, constant<IsComplex>(C(0)), q * a);
        }
      }
    }
  }

 private:
  using key_cursor = cursor<C, IsComplex, along::keys>;
  using value_cursor = cursor<C, IsComplex, along::values>;
  using one_token = token_cursor<C, IsComplex>;
  using operands_type = operands_of<R, T>;
  using token_type = decltype(stages<R>::token(operands_type{}, one_token{}, token_weight<C>{}));

  token_type token(index_t t) const {
    if constexpr (has_token<R>)
      return tokens_[static_cast<std::size_t>(t - first_)];
    else
      return {};
  }
  auto keys(const key_cursor& at) const { return stages<R>::keys(x_, at, token(at.t)); }
  // P_ts / denominator of all that token t reads
  void normalise(index_t start, index_t t, C n, E* sums) const {
    for (index_t s = start; s <= t; ++s) {
      const C score = simd::sum(sums[s]);
      n += score;
      sums[s] = simd::first_lanes(E(score), 1, E(0));
    }
    const E by = stages<R>::denominator(x_, one_token{t, p_.n.keys}, token(t), E(n));
    for (index_t s = start; s <= t; ++s) sums[s] = sums[s] / by;
  }
  // P_ts = y k_s. y is q_t at first; past token s it becomes a_s (.) (y - P_ts p_s), or with
  // transition::low_rank a_s (.) y - (y b_s) p_s.
  void corrected_row(index_t start, index_t t, E* sums) {
    const auto for_each_key = [&](index_t s, auto&& f) {
      for (index_t i = 0; i < p_.n.keys; i += width) {
        const int count = static_cast<int>((std::min)(width, p_.n.keys - i));
        f(keys(key_cursor{s, i, 0, count}), query_.data() + i, count);
      }
    };
    for_each_key(t, [](const auto& key, C* y, int) { simd::store(y, key.q); });
    for (index_t s = t; s >= start; --s) {
      E products(0), under(0);
      for_each_key(s, [&](const auto& key, const C* y, int count) {
        products = products + simd::first_lanes(simd::load(y) * key.k, count, E(0));
        if constexpr (low_rank)
          under = under + simd::first_lanes(simd::load(y) * key.b, count, E(0));
      });
      const E score(simd::sum(products)), taken(simd::sum(under));
      sums[s] = simd::first_lanes(score, 1, E(0));
      for_each_key(s, [&](const auto& key, C* y, int) {
        const auto decayed = [&](const E& x) { return reset_to(key.gate, E(0), x * key.gate); };
        const E here = simd::load(y);
        if constexpr (low_rank)
          simd::store(y, simd::fma(-taken, key.p, decayed(here)));
        else
          simd::store(y, decayed(simd::fma(-score, key.p, here)));
      });
    }
  }
  // e^(log weight of s) by the sum of all, and of the initial state's; each divided by the largest.
  void averaged_row(index_t start, index_t t, index_t v, E* sums) const {
    using average = channel_average<C, true>;
    const int count = static_cast<int>((std::min)(width, p_.n.values - v));
    const auto state_part = [&](const operand<const C>& x) {
      return simd::load<C>(x.re + x.offset(sequence_, 0, head_) + v * x.value, x.value, count);
    };
    E gates(0), largest(average::never);  // of the tokens between; of all weights
    const auto forgotten = [&] { return gates.v == -std::numeric_limits<C>::infinity(); };
    const auto weigh = [&](E weight) {
      weight = E{forgotten() ? E(average::never).v : larger(E(average::never), weight).v};
      largest = larger(largest, weight);
      return weight;
    };
    // by the token's own key: logarithms may be far from 0, their differences not
    const E key = R::log_weights(x_, value_cursor{t, 0, v, count}).key;
    const E base{key.v == -std::numeric_limits<C>::infinity() ? E(0).v : key.v};
    for (index_t s = t; s >= start; --s) {
      const auto logs = R::log_weights(x_, value_cursor{s, 0, v, count});
      sums[s] = weigh((logs.key - base) + (s == t ? logs.bonus : gates));
      if (s < t) gates = gates + logs.gate;
    }
    E all(0);
    if (const auto& state = p_.initial_state; state.given) {
      const E weight = weigh((state_part(state.log_scale) - base) + gates);
      all = exp(weight - largest) * state_part(state.normaliser);
    }
    for (index_t s = start; s <= t; ++s)
      all = all + (sums[s] = unless_zero(sums[s] - E(average::never), exp(sums[s] - largest)));
    for (index_t s = start; s <= t; ++s) sums[s] = unless_zero(all, sums[s] / all);
  }
  static void add_real(simd::pack<C>& to, simd::pack<C> x) { to = to + x; }
  static void add_real(cplx<simd::pack<C>>& to, simd::pack<C> x) { to.re = to.re + x; }

  const problem_of<R, T>& p_;
  operands_type x_;
  index_t sequence_, head_;
  index_t first_;                     // token of the sequence
  std::vector<token_type> tokens_{};  // what the token stage made of each
  std::vector<C> query_{};            // [keys]: y of corrected rows
};

// The map's element (t, s) of a head's channel; per-key recurrences have one channel.
template <class R, class Map>
index_t map_offset(const Map& map, const sizes& n, index_t b, index_t h, index_t channel) {
  if (R::form.gate != gate_span::entry) return b * map.stride[0] + h * map.stride[1];
  if (map.rank == 4) return b * map.stride[0] + (h * n.values + channel) * map.stride[1];
  return b * map.stride[0] + h * map.stride[1] + channel * map.stride[2];
}

template <bool IsComplex, class R, class T, class Map>
void write_map(const cpu& backend, const problem_of<R, T>& p, const Map& map) {
  using rows = map_rows<R, T, IsComplex>;
  using C = typename rows::C;
  const sizes& n = p.n;
  const index_t blocks = rows::per_key ? 1 : ceil_divide(n.values, rows::width);
  const index_t from = map.stride[map.rank - 2], to = map.stride[map.rank - 1];
  const auto put = [&](index_t at, C re, C im) {
    if constexpr (requires { map.im; }) {
      using element = std::remove_reference_t<decltype(*map.re)>;
      map.re[at] = convert<element>(re);
      if (map.im != nullptr) map.im[at] = convert<element>(im);
    } else {
      map.data[at] = convert<std::remove_reference_t<decltype(*map.data)>>(re);
    }
  };
  const index_t jobs = n.sequences * n.heads * blocks;
  const index_t workers = std::min<index_t>(backend.threads, std::max<index_t>(jobs, 1));
  const std::unique_ptr<typename rows::E[]> sums(
      new typename rows::E[static_cast<std::size_t>(workers * n.time)]);
  parallel_for(backend, jobs, [&](index_t job, int worker) {
    const index_t sequence = job / (n.heads * blocks), h = job / blocks % n.heads;
    const index_t v = job % blocks * rows::width, b = p.batch_of(sequence);
    const index_t start = p.first_token(sequence), end = p.last_token(sequence);
    rows head(p, sequence, h);
    typename rows::E* row = sums.get() + worker * n.time;
    for (index_t t = start; t < end; ++t) {
      head.row(start, t, v, row);
      const index_t channels = rows::per_key ? 1 : (std::min)(rows::width, n.values - v);
      for (index_t s = 0; s < n.time; ++s) {
        alignas(simd::register_bytes) C re[rows::width] = {}, im[rows::width] = {};
        if (s >= start && s <= t) {
          if constexpr (rows::per_key)
            re[0] = simd::sum(real_part(row[s]));
          else
            simd::store(re, real_part(row[s]));
          if constexpr (IsComplex && !rows::per_key) simd::store(im, row[s].im);
        }
        for (index_t c = 0; c < channels; ++c)
          put(map_offset<R>(map, n, b, h, v + c) + t * from + s * to, re[c], im[c]);
      }
    }
  });
}

template <class R, class T, class Map>
void write_attention_map(const cpu& backend, const problem_of<R, T>& p, const Map& map) {
  if constexpr (R::form.number != numbers::real)
    if (p.complex) return write_map<true>(backend, p, map);
  if constexpr (R::form.number != numbers::complex) {
    std::vector<std::byte> memory(token_weights_bytes(p));
    with_token_weights(backend, p, {}, memory, [&](const auto& problem, std::span<std::byte>) {
      write_map<false>(backend, problem, map);
    });
  }
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
