#pragma once
// A register of averages through a few tokens: together (tokens_together.hpp), and one by one where
// that would not be right, or in recurrent mode.

#include <type_traits>

#include "../../../../core/concepts.hpp"
#include "../../../../core/problem.hpp"
#include "../../operands/cursor.hpp"
#include "steady_tokens.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T, bool InSteps>
struct average_walk {
  using C = state_t<T>;
  using P = simd::pack<C>;
  using average = channel_average<C, InSteps>;
  using operands_type = operands_of<R, T>;
  using place = cursor<C, false, along::values>;

  static constexpr bool steady = std::is_base_of_v<steady_weights, R>;
  using together = std::conditional_t<steady, steady_tokens<C>, tokens_together<C>>;
  using lanes_in_range = typename together::lanes;
  static constexpr index_t most = tuning.averages_together;  // of tokens together

  /// o of a token, and the state after it.
  template <bool Reads>
  static GATESCAN_INLINE P take(const operands_type& x, const place& at, average& s) {
    const auto logs = R::log_weights(x, at);
    const auto w = R::values(x, at);
    P o(0);
    if constexpr (Reads) o = s.average(s.read(logs.key, logs.bonus), w.v);
    s = s.next(s.weigh(logs.gate, logs.key), w.v, P(1));
    return o;
  }
  /// The same of up to `most` tokens. constant: that of `together`. o: of each.
  template <bool Reads>
  static GATESCAN_INLINE average take_together(const operands_type& x, const place& at,
                                               index_t count, const average& before, P constant,
                                               P* o) {
    together all(before, R::log_weights(x, at), constant);
    take_some<Reads>(
        x, at, count, all, [&](index_t i, const auto& w) __attribute__((always_inline)) {
          if constexpr (Reads) o[i] = w.read / w.all;
        });
    if (!simd::any(~all.in_range())) return all.state(count);
    return take_in_range<Reads>(x, at, count, before, constant, o);
  }
  /// f(i, weighed token) of `count` tokens, as many as most often: all.
  template <bool Reads>
  static GATESCAN_INLINE void take_some(const operands_type& x, const place& at, index_t count,
                                        together& all, auto&& f) {
    place here = at;
    const auto take_next = [&](index_t i) __attribute__((always_inline)) {
      f(i, all.template take<Reads>(R::log_weights(x, here), R::values(x, here).v, i));
      ++here.t;
    };
    if (count == most) {
#pragma GCC unroll 16
      for (index_t i = 0; i < most; ++i) take_next(i);
    } else {
      for (index_t i = 0; i < count; ++i) take_next(i);
    }
  }

 private:
  // Once more, to see from where on channels are not in range.
  template <bool Reads>
  static __attribute__((noinline)) average take_in_range(const operands_type& x, const place& at,
                                                         index_t count, const average& before,
                                                         P constant, P* o) {
    together all(before, R::log_weights(x, at), constant);
    lanes_in_range in_range[std::size_t(most)];
    place here = at;
    for (index_t i = 0; i < count; ++i, ++here.t) {
      const auto w = all.template take<Reads>(R::log_weights(x, here), R::values(x, here).v, i);
      if constexpr (Reads) o[i] = w.read / w.all;
      in_range[i] = all.in_range();
      if (simd::any(in_range[i])) continue;
      for (; i < count; ++i) in_range[i] = lanes_in_range{}, o[i] = P(0);
    }
    return take_apart<Reads>(x, at, count, before, all.state(count), in_range, o);
  }
  // Token by token, for channels from where they are not `in_range`.
  template <bool Reads>
  static average take_apart(const operands_type& x, place at, index_t count, average s,
                            const average& after, const lanes_in_range* in_range, P* o) {
    for (index_t i = 0; i < count; ++i, ++at.t) {
      const P exact = take<Reads>(x, at, s);
      o[i] = {in_range[i] ? o[i].v : exact.v};
    }
    const auto all = in_range[count - 1];
    return {P{all ? after.num.v : s.num.v}, P{all ? after.den.v : s.den.v},
            P{all ? after.m.v : s.m.v}, P{all ? after.low.v : s.low.v}};
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
