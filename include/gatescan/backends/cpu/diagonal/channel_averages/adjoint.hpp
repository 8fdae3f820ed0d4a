#pragma once
// Backward of a register of averages through a few tokens: along time once more for what they were
// weighed with, and then against time.
//
//   s_t = a_t s_{t-1} + e_t (v_t, 1)     o_t = (r_t num_{t-1} + own_t v_t) / all_t
//
// all_t = r_t den_{t-1} + own_t. Of tokens together (tokens_together.hpp) a and r are 1, and only
// the gradient of the state after them is scaled.

#include "../../operands/gradients.hpp"
#include "walk.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool InSteps>
struct average_adjoint : average_walk<R, T, InSteps> {
  using walk = average_walk<R, T, InSteps>;
  using typename walk::average;
  using typename walk::C;
  using typename walk::lanes_in_range;
  using typename walk::operands_type;
  using typename walk::P;
  using typename walk::place;
  using typename walk::together;
  using walk::most;
  using storage = storage_t<T>;
  using tiles_of_gradients = typename R::template fields<gradient_tile<C>>;

  static constexpr index_t most_tokens = subchunk_tokens, parts = ceil_divide(most_tokens, most);

  /// Of the numbers num and den.
  struct gradient {
    P num, den;
  };
  const operands_type& x;
  const operand<const storage>& d_out;
  const tiles_of_gradients& d;

  /// g: of the state after `count` tokens, of the one before them, `s`, on return. Of a state whose
  /// m is handed out as one number, g counts num and den as they are beside that.
  GATESCAN_INLINE gradient go_back(const place& first, index_t count, const average& s, gradient g,
                                   bool rounds_m) const {
    tokens all;
    if constexpr (InSteps) {
      list<factors, most_tokens> apart;
      weigh_apart(first, count, s, all, apart);
      return adjoint<false>(first, count, all, apart, g);
    } else {
      const auto in_range = weigh_together(first, count, s, all);
      if (simd::any(~in_range)) return go_back_apart(first, count, s, g, rounds_m, all, in_range);
      if (rounds_m) round_m(all.low, g);
      return adjoint<true>(first, count, all, nullptr, g);
    }
  }
  /// What rounding takes of m is in num and den.
  static void round_m(P low, gradient& g) {
    constexpr C most_rounded = 60;  // an m that is rounded by more says nothing of them
    const auto rounds = abs(low).v < most_rounded;
    const P factor = exp(P{rounds ? low.v : P(0).v});
    g = {g.num * factor, g.den * factor};
  }

 private:
  struct token {
    P num, den;              // before it
    P key, own, inverse, o;  // e, own, 1 / what o is divided by
  };
  // What else there is of a token by itself: a is state + lost (average.hpp), r.
  struct factors {
    P state, lost, read;
  };
  template <class X, index_t N>
  using list = X[std::size_t(N)];
  struct tokens {
    list<token, most_tokens> at;
    list<P, parts> scale;  // of the state after so many
    P low;                 // of m in the end
  };

  GATESCAN_INLINE lanes_in_range weigh_together(place at, index_t count, average s,
                                                tokens& to) const {
    P watch(0);
    lanes_in_range in_range = watch.v == watch.v;
    const P constant = together::constant(R::log_weights(x, at));
    for (index_t part = 0, done = 0; done < count; ++part, done += most, at.t += most) {
      const index_t some = (std::min)(most, count - done);
      together all(s, R::log_weights(x, at), constant);
      walk::template take_some<true>(
          x, at, some, all, [&](index_t i, const auto& w) __attribute__((always_inline)) {
            token& here = to.at[done + i];
            here.num = w.num, here.den = w.den, here.key = w.key, here.own = w.own;
            here.inverse = P(1) / w.all, here.o = w.read * here.inverse;
            watch = watch + here.o;
          });
      in_range = in_range & all.in_range();
      to.scale[part] = all.kept();
      s = all.state(some);
    }
    to.low = s.low;
    return in_range & ((watch * P(0)).v == 0);
  }
  void weigh_apart(place at, index_t count, average s, tokens& to, factors* apart) const {
    for (index_t i = 0; i < count; ++i, ++at.t) {
      const auto logs = R::log_weights(x, at);
      const P v = R::values(x, at).v;
      const auto by = s.weigh(logs.gate, logs.key);
      const auto r = s.read(logs.key, logs.bonus);
      const P inverse = unless_zero(r.all, P(1) / r.all);
      to.at[i] = {s.num, s.den, by.key, r.own, inverse, s.average(r, v)};
      apart[i] = {by.state, by.lost, r.state};
      s = s.next(by, v, P(1));
    }
    for (P& scale : to.scale) scale = P(1);
    to.low = s.low;
  }
  // Token by token where channels are not in range.
  __attribute__((noinline)) gradient go_back_apart(const place& first, index_t count,
                                                   const average& s, gradient g, bool rounds_m,
                                                   tokens& all,
                                                   const lanes_in_range& in_range) const {
    tokens exact;
    list<factors, most_tokens> apart;
    weigh_apart(first, count, s, exact, apart);
    const auto select = [&](P fast, P& to) { to = {in_range ? fast.v : to.v}; };
    for (index_t i = 0; i < count; ++i) {
      const token& from = all.at[i];
      token& to = exact.at[i];
      select(from.num, to.num), select(from.den, to.den), select(from.key, to.key);
      select(from.own, to.own), select(from.inverse, to.inverse), select(from.o, to.o);
      select(P(1), apart[i].state), select(P(0), apart[i].lost), select(P(1), apart[i].read);
    }
    for (index_t part = 0; part < parts; ++part) select(all.scale[part], exact.scale[part]);
    select(all.low, exact.low);
    if (rounds_m) round_m(exact.low, g);
    return adjoint<false>(first, count, exact, apart, g);
  }

  template <bool Together>
  GATESCAN_INLINE gradient adjoint(place at, index_t count, const tokens& all, const factors* apart,
                                   gradient g) const {
    const index_t t = at.t;
    for (index_t part = ceil_divide(count, most) - 1; part >= 0; --part) {
      g = {g.num * all.scale[part], g.den * all.scale[part]};
      for (index_t i = (std::min)(count, (part + 1) * most) - 1; i >= part * most; --i) {
        at.t = t + i, at.tile_t = i;
        if constexpr (Together)
          g = token_adjoint<true>(at, all.at[i], factors{}, g);
        else
          g = token_adjoint<false>(at, all.at[i], apart[i], g);
      }
    }
    return g;
  }
  // Products that a sum might take in unrounded are rounded first: a channel's bits are the same
  // whichever way its neighbours make it go.
  template <bool Together>
  GATESCAN_INLINE gradient token_adjoint(const place& at, const token& by, const factors& apart,
                                         const gradient& g) const {
    const auto w = R::values(x, at);
    auto d_w = w;
    const P d_key = simd::rounded(unless_zero(by.key, by.key * fma(g.num, w.v, g.den)));
    d_w.v = by.key * g.num;
    P d_gate = fma(g.num, by.num, g.den * by.den);
    if constexpr (!Together) {
      const P kept = apart.state + apart.lost;
      d_gate = unless_zero(kept, kept * d_gate);
    }
    const P d_o = d_out.given ? simd::first_lanes(at(d_out), at.count, P(0)) : P(0);
    const P d_read = R::output_adjoint(x, d, at, w, d_w, by.o, d_o);
    const P d_sum = simd::rounded(unless_zero(by.inverse, d_read * by.inverse));
    d_w.v = fma(by.own, d_sum, d_w.v);
    const P d_bonus = simd::rounded(unless_zero(by.own, by.own * d_sum * (w.v - by.o)));
    R::log_weights_adjoint(x, d, at, log_weights_and_bonus_of<P>{d_gate, d_key + d_bonus, d_bonus});
    R::values_adjoint(x, d, at, w, d_w);
    if constexpr (Together) return {g.num + d_sum, g.den + simd::rounded(-(d_sum * by.o))};
    const auto carry = [&](P before, P more) {
      const typename average::writing kept{apart.state, apart.lost, by.key, P(0), P(0)};
      return kept.carry(before, simd::rounded(more));
    };
    return {carry(g.num, apart.read * d_sum), carry(g.den, -(apart.read * d_sum) * by.o)};
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
