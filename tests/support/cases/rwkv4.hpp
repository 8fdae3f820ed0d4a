// RWKV-4, channel by channel: averages of all values so far by weights e^k that decay by e^w, the
// token's own by e^(u + k).
#pragma once

#include "../normalised.hpp"

namespace support::oracle {

template <class R>
struct rwkv4 {
  struct inputs {
    tensor<R> k, v;           // [B, L, D]
    tensor<R> w, u;           // [D]
    tensor<R> initial_state;  // the parts of it: D heads of one key and one value (normalised.hpp)
    std::vector<int64> sequence_offsets;
    log_scales held{};  // in the place of those that follow from w and k
  };
  struct outputs {
    tensor<R> out;  // [B, L, D]
    tensor<R> final_state;
  };

  // f(name, operand of each structure...) for every operand, and for every result
  template <class F, class... S>
  static void operands(F f, S&... s) {
    f("k", s.k...);
    f("v", s.v...);
    f("w", s.w...);
    f("u", s.u...);
    f("initial_state", s.initial_state...);
  }
  template <class F, class... S>
  static void results(F f, S&... s) {
    f("out", s.out...);
    f("final_state", s.final_state...);
  }
  static inputs hold(inputs in) {
    in.held = weights(in).m;
    return in;
  }

  // zeros in the shapes of the results
  static outputs blank(const inputs& in) {
    const int64 n = state_count(in.k.extent(0), in.sequence_offsets), D = in.k.extent(2);
    return {tensor<R>(in.k.shape),
            parts_of_state(tensor<R>({n, D, 1, 2}), log_scale_of_state(tensor<R>(), n, D))};
  }

  static outputs forward(const inputs& in) {
    const auto w = weights(in);
    outputs r = blank(in);
    tensor<R> last({w.last.extent(0), w.last.extent(1), 1, 2});
    for_each_channel(in, [&](const sequence& s, int64 d) {
      average a = first(in, s, d);
      for (int64 t = s.begin; t < s.end; ++t) {
        r.out(s.batch, t, d) = read(in, w, s, t, d, a).out;
        a = next(in, w, s.batch, t, d, a);
      }
      last(s.state, d, 0, 0) = a.num, last(s.state, d, 0, 1) = a.den;
    });
    r.final_state = parts_of_state(last, w.last);
    return r;
  }

  // dout: what is not given counts as zero
  static inputs backward(const inputs& in, const outputs& dout) {
    const auto w = weights(in);
    inputs g{zeros_like(in.k), zeros_like(in.v), zeros_like(in.w), zeros_like(in.u), {}, {}};
    const tensor<R> d_last = columns_of_state(dout.final_state);
    tensor<R> d_first({w.last.extent(0), w.last.extent(1), 1, 2});
    for_each_channel(in, [&](const sequence& s, int64 d) {
      std::vector<average> a{first(in, s, d)};
      for (int64 t = s.begin; t < s.end; ++t) a.push_back(next(in, w, s.batch, t, d, a.back()));
      average G{};
      if (d_last.given()) G = {d_last(s.state, d, 0, 0), d_last(s.state, d, 0, 1)};
      for (int64 t = s.end - 1; t >= s.begin; --t) {
        const average& before = a[static_cast<std::size_t>(t - s.begin)];
        const R v = in.v(s.batch, t, d), gate = w.gate(s.batch, t, d, 0);
        const R key = w.key(s.batch, t, d, 0), written = keep(key, G.num * v + G.den);
        g.v(s.batch, t, d) += key * G.num;
        g.k(s.batch, t, d) += written;
        g.w(d) += keep(gate, G.num * before.num + G.den * before.den);
        G = {keep(gate, G.num), keep(gate, G.den)};
        const reading r = read(in, w, s, t, d, before);
        if (!dout.out.given() || r.all == R{}) continue;
        const R d_sum = dout.out(s.batch, t, d) / r.all;
        const R d_own = keep(r.own, d_sum * (v - r.out));
        g.v(s.batch, t, d) += r.own * d_sum;
        g.k(s.batch, t, d) += d_own;
        g.u(d) += d_own;
        G.num += r.state * d_sum;
        G.den += R(-1) * r.state * d_sum * r.out;
      }
      d_first(s.state, d, 0, 0) = G.num, d_first(s.state, d, 0, 1) = G.den;
    });
    g.initial_state = parts_of_state(d_first, tensor<double>(w.last.shape));
    return g;
  }

 private:
  struct average {
    R num{}, den{};
  };
  struct reading {
    R state, own, all, out;  // weights by the larger of both, their sum, and what is read
  };

  template <class F>
  static void for_each_channel(const inputs& in, F f) {
    for (const sequence& s : sequences(in.k.extent(0), in.k.extent(1), in.sequence_offsets))
      for (int64 d = 0; d < in.k.extent(2); ++d) f(s, d);
  }
  static token_weights<R> weights(const inputs& in) {
    log_scales m = in.held;
    if (!m.first.given())
      m.first = log_scale_of_state(
          in.initial_state, state_count(in.k.extent(0), in.sequence_offsets), in.k.extent(2));
    return weights_of<R>(
        in.k.shape, in.sequence_offsets, m, [&](int64, int64, int64 d) { return in.w(d); },
        [&](int64 b, int64 t, int64 d) { return in.k(b, t, d); });
  }
  static average first(const inputs& in, const sequence& s, int64 d) {
    if (!in.initial_state.given()) return {};
    return {in.initial_state(s.state, d, 0, 0), in.initial_state(s.state, d, 0, 1)};
  }
  static average next(const inputs& in, const token_weights<R>& w, int64 b, int64 t, int64 d,
                      const average& a) {
    const R gate = w.gate(b, t, d, 0), key = w.key(b, t, d, 0);
    return {keep(gate, a.num) + key * in.v(b, t, d), keep(gate, a.den) + key};
  }
  static reading read(const inputs& in, const token_weights<R>& w, const sequence& s, int64 t,
                      int64 d, const average& a) {
    using std::exp;
    constexpr double never = -std::numeric_limits<double>::infinity();
    const double m = t == s.begin ? w.m.first(s.state, d) : w.m.after(s.batch, t - 1, d);
    const R own = in.u(d) + in.k(s.batch, t, d);
    const double most = std::max(m, value_of(own));
    reading r{};
    if (m > never) r.state = exp(R(m - most));
    if (most > never) r.own = exp(own - R(most));
    r.all = r.state * a.den + r.own;
    if (!(r.all == R{})) r.out = (r.state * a.num + r.own * in.v(s.batch, t, d)) / r.all;
    return r;
  }
};

}  // namespace support::oracle

namespace support {

using rwkv4 = oracle::rwkv4<double>;

template <>
struct case_of<rwkv4> {
  using recurrence = gatescan::rwkv4;
  static constexpr std::array<option_switch, 0> switches{};
  // channels are H V
  static void make(rwkv4::inputs& in, const sizes& n, const options& c, generator& g) {
    const int64 D = n.H * n.V;
    in.k = g.normals({n.B, n.L, D});
    for (double& k : in.k.data) {
      if (c.gate == gates::strong) k *= 20;
      if (c.gate == gates::resets && g.coin(0.2)) k = -std::numeric_limits<double>::infinity();
    }
    in.v = g.normals({n.B, n.L, D});
    in.w = tensor<double>({D});
    for (double& w : in.w.data) w = c.gate == gates::one ? 0 : g.log_gate(c.gate);
    in.u = g.normals({D});
    if (c.initial_state)
      in.initial_state = state(
          n, c, [&] { return g.uniform(0.5, 2); }, 0.5);
  }
  // Each weight is that of the token before once more, or outweighs all before it, as its own
  // outweighs it, or counts for nothing: sums of 1 or 2.
  static void make_exact(rwkv4::inputs& in, const sizes& n, const options& c, generator& g) {
    const int64 D = n.H * n.V;
    constexpr double never = -std::numeric_limits<double>::infinity();
    in.k = tensor<double>({n.B, n.L, D}, never);
    for (int64 b = 0; b < n.B; ++b)
      for (int64 d = 0; d < D; ++d) {
        int64 last = 0;
        bool again = true;
        for (int64 t = 0; t < n.L; ++t) {
          again = !again && g.coin(0.3);
          if (!again) last = std::min<int64>(last + 1, 60);
          if (last < 60 && g.coin(0.8)) in.k(b, t, d) = static_cast<double>(1024 * last);
        }
      }
    in.v = integers(g, {n.B, n.L, D}, 2);
    in.w = zero_or_reset(g, {D});
    in.u = tensor<double>({D});
    for (double& u : in.u.data) u = g.coin() ? 1024 * 128 : never;
    if (c.initial_state)
      in.initial_state = state(
          n, c, [] { return 1.0; }, 0);
  }

 private:
  template <class Number>
  static tensor<double> state(const sizes& n, const options& c, Number number, double log_scale) {
    const int64 D = n.H * n.V;
    tensor<double> columns({sequence_count(n, c), D, 1, 2});
    for (double& x : columns.data) x = number();
    return oracle::parts_of_state(columns, tensor<double>({sequence_count(n, c), D}, log_scale));
  }
};

}  // namespace support
