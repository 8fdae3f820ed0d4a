// GLA: the outer product with real gates exp(log_decay); out is scaled.
#pragma once

#include <cmath>

#include "oracle_outer_product.hpp"

namespace support::oracle {

template <class R>
struct gla {
  struct inputs {
    tensor<R> q, k, v;        // [B, L, heads, K | K | V]
    tensor<R> log_decay;      // [B, L, heads, K] or [B, L, heads, 1]
    tensor<R> initial_state;  // [n, H, K, V]
    std::vector<int64> sequence_offsets;
    double scale = 1;
  };
  using outputs = typename outer_product<R>::outputs;

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("q", s.q...);
    f("k", s.k...);
    f("v", s.v...);
    f("log_decay", s.log_decay...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }

  static outputs blank(const inputs& in) { return outer_product<R>::blank(core(in)); }
  static outputs forward(const inputs& in) {
    outputs r = outer_product<R>::forward(core(in));
    for (R& o : r.out.data) o = R(in.scale) * o;
    return r;
  }

  static inputs backward(const inputs& in, outputs dout) {
    for (R& o : dout.out.data) o = R(in.scale) * o;
    const auto c = core(in);
    auto d = outer_product<R>::backward(c, dout);
    for (std::size_t n = 0; n < d.a.data.size(); ++n) d.a.data[n] = keep(c.a.data[n], d.a.data[n]);
    return {d.q, d.k, d.v, d.a, d.initial_state, {}, in.scale};
  }

 private:
  static typename outer_product<R>::inputs core(const inputs& in) {
    const auto gate = in.log_decay.map([](const R& g) -> R {
      using std::exp;
      return exp(g);
    });
    return {in.q, in.k, in.v, gate, in.initial_state, in.sequence_offsets};
  }
};

}  // namespace support::oracle
