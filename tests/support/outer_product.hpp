// S_t = diag(a_t) S_{t-1} + k_t v_t^T, out_t = Re(S_t^T q_t): the loop under all matrix states.
// The adjoint is G_t = conj(q_t) do_t^T + conj(a_{t+1}) G_{t+1}, with every state kept.
//
// With p, what it reads is taken away from the value first (the delta rule): k_t u_t^T in the place
// of k_t v_t^T, u_t = v_t - (diag(a_t) S_{t-1})^T p_t. With b beside p, p reads the state before
// the gate, and what it reads is taken away under b: k_t v_t^T - b_t (S_{t-1}^T p_t)^T. With own, a
// query reads before its token: out_t = Re((S_{t-1} + own_t v_t^T)^T q_t).
#pragma once

#include "plain_loops.hpp"

namespace support::oracle {

template <class E>
struct outer_product {
  using R = real_of<E>;
  struct inputs {
    tensor<E> q, k;           // [B, L, heads, K]
    tensor<R> v;              // [B, L, heads, V]
    tensor<E> a;              // [B, L, heads, K], or 1 for K
    tensor<E> initial_state;  // [n, H, K, V], optional
    std::vector<int64> sequence_offsets;
    tensor<E> p{}, own{}, b{};  // [B, L, heads, K], each optional
    int64 heads() const {
      int64 most = initial_state.given() ? initial_state.extent(1) : 1;
      for (const int64 h : {q.extent(2), k.extent(2), v.extent(2), a.extent(2)})
        most = std::max(most, h);
      return std::min({q.extent(2), k.extent(2), v.extent(2), a.extent(2)}) == 0 ? 0 : most;
    }
  };
  struct outputs {
    tensor<R> out;          // [B, L, H, V]
    tensor<E> final_state;  // [n, H, K, V]
  };
  using states = std::vector<std::vector<E>>;  // [t][i * V + j], one more than there are tokens

  // zeros in the shapes of the results
  static outputs blank(const inputs& in) {
    const int64 B = in.q.extent(0), L = in.q.extent(1), H = in.heads();
    const int64 K = in.q.extent(3), V = in.v.extent(3);
    return {tensor<R>({B, L, H, V}), tensor<E>({state_count(B, in.sequence_offsets), H, K, V})};
  }

  static outputs forward(const inputs& in) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    outputs r = blank(in);
    for (const sequence& s : sequences(in.q.extent(0), in.q.extent(1), in.sequence_offsets))
      for (int64 h = 0; h < H; ++h) {
        std::vector<E> S = first_state(in, s, h);
        for (int64 t = s.begin; t < s.end; ++t) {
          const std::vector<E> before = S;
          update(in, s.batch, t, h, S);
          for (int64 i = 0; i < K; ++i)
            for (int64 j = 0; j < V; ++j)
              r.out(s.batch, t, h, j) +=
                  re(at(in.q, s.batch, t, h, i, H) * read(in, s.batch, t, h, i, j, before, S));
        }
        for (int64 i = 0; i < K; ++i)
          for (int64 j = 0; j < V; ++j) r.final_state(s.state, h, i, j) = S[place(i, j, V)];
      }
    return r;
  }

  static inputs backward(const inputs& in, const outputs& dout) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    inputs d{zeros_like(in.q), zeros_like(in.k),      zeros_like(in.v),
             zeros_like(in.a), blank(in).final_state, {},
             zeros_like(in.p), zeros_like(in.own),    zeros_like(in.b)};
    for (const sequence& s : sequences(in.q.extent(0), in.q.extent(1), in.sequence_offsets))
      for (int64 h = 0; h < H; ++h) {
        states S{first_state(in, s, h)};
        for (int64 t = s.begin; t < s.end; ++t) {
          S.push_back(S.back());
          update(in, s.batch, t, h, S.back());
        }
        std::vector<E> G(static_cast<std::size_t>(K * V));
        if (dout.final_state.given())
          for (int64 i = 0; i < K; ++i)
            for (int64 j = 0; j < V; ++j) G[place(i, j, V)] = dout.final_state(s.state, h, i, j);
        for (int64 t = s.end - 1; t >= s.begin; --t) {
          const std::size_t n = static_cast<std::size_t>(t - s.begin);
          token_adjoint(in, dout, s.batch, t, h, S[n], S[n + 1], G, d);
        }
        for (int64 i = 0; i < K; ++i)
          for (int64 j = 0; j < V; ++j) d.initial_state(s.state, h, i, j) = G[place(i, j, V)];
      }
    return d;
  }

 private:
  static std::size_t place(int64 i, int64 j, int64 V) {
    return static_cast<std::size_t>(i * V + j);
  }

  static std::vector<E> first_state(const inputs& in, const sequence& s, int64 h) {
    const int64 K = in.q.extent(3), V = in.v.extent(3);
    std::vector<E> S(static_cast<std::size_t>(K * V));
    if (in.initial_state.given())
      for (int64 i = 0; i < K; ++i)
        for (int64 j = 0; j < V; ++j) S[place(i, j, V)] = in.initial_state(s.state, h, i, j);
    return S;
  }

  // diag(a_t) S_{t-1}
  static std::vector<E> decayed(const inputs& in, int64 b, int64 t, int64 h,
                                const std::vector<E>& S) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    std::vector<E> r(S.size());
    for (int64 i = 0; i < K; ++i)
      for (int64 j = 0; j < V; ++j)
        r[place(i, j, V)] = keep(at(in.a, b, t, h, i, H), S[place(i, j, V)]);
    return r;
  }
  // what p reads of `state` at value j
  static E removed(const inputs& in, int64 b, int64 t, int64 h, int64 j,
                   const std::vector<E>& state) {
    const int64 H = in.heads(), V = in.v.extent(3);
    E sum{};
    if (in.p.given())
      for (int64 i = 0; i < in.q.extent(3); ++i)
        sum += at(in.p, b, t, h, i, H) * state[place(i, j, V)];
    return sum;
  }
  // what a token writes under its key at value j
  static E written(const inputs& in, int64 b, int64 t, int64 h, int64 j,
                   const std::vector<E>& decayed_state) {
    const E v(at(in.v, b, t, h, j, in.heads()));
    return in.b.given() ? v : v - removed(in, b, t, h, j, decayed_state);
  }
  static void update(const inputs& in, int64 b, int64 t, int64 h, std::vector<E>& S) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    const std::vector<E> before = S;
    S = decayed(in, b, t, h, S);
    for (int64 j = 0; j < V; ++j) {
      const E u = written(in, b, t, h, j, S);
      for (int64 i = 0; i < K; ++i)
        S[place(i, j, V)] = S[place(i, j, V)] + at(in.k, b, t, h, i, H) * u;
      if (!in.b.given()) continue;
      const E gone = removed(in, b, t, h, j, before);
      for (int64 i = 0; i < K; ++i)
        S[place(i, j, V)] = S[place(i, j, V)] - at(in.b, b, t, h, i, H) * gone;
    }
  }
  // what q reads of one entry
  static E read(const inputs& in, int64 b, int64 t, int64 h, int64 i, int64 j,
                const std::vector<E>& before, const std::vector<E>& after) {
    const int64 H = in.heads(), V = in.v.extent(3);
    if (!in.own.given()) return after[place(i, j, V)];
    return before[place(i, j, V)] + at(in.own, b, t, h, i, H) * E(at(in.v, b, t, h, j, H));
  }

  // One token of the adjoint: G comes in as the gradient of S_t from later tokens and leaves as
  // the gradient of S_{t-1}.
  static void token_adjoint(const inputs& in, const outputs& dout, int64 b, int64 t, int64 h,
                            const std::vector<E>& before, const std::vector<E>& after,
                            std::vector<E>& G, inputs& d) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    const std::vector<E> kept = decayed(in, b, t, h, before);
    for (int64 j = 0; j < V; ++j) {
      const E o(dout.out.given() ? dout.out(b, t, h, j) : R{});
      const R v = at(in.v, b, t, h, j, H);
      const E u = written(in, b, t, h, j, kept);
      E du{}, d_gone{};
      for (int64 i = 0; i < K; ++i) {
        const E q = at(in.q, b, t, h, i, H);
        E& g = G[place(i, j, V)];
        at(d.q, b, t, h, i, H) += conj(read(in, b, t, h, i, j, before, after)) * o;
        if (in.own.given()) {
          at(d.own, b, t, h, i, H) += conj(q) * o * E(v);
          at(d.v, b, t, h, j, H) += re(conj(q) * conj(at(in.own, b, t, h, i, H)) * o);
        } else {
          g += conj(q) * o;
        }
        at(d.k, b, t, h, i, H) += g * conj(u);
        du += g * conj(at(in.k, b, t, h, i, H));
        if (!in.b.given()) continue;
        at(d.b, b, t, h, i, H) += (E{} - g) * conj(removed(in, b, t, h, j, before));
        d_gone += (E{} - g) * conj(at(in.b, b, t, h, i, H));
      }
      at(d.v, b, t, h, j, H) += re(du);
      for (int64 i = 0; i < K; ++i) {
        const E a = at(in.a, b, t, h, i, H);
        E& g = G[place(i, j, V)];
        if (in.p.given() && !in.b.given()) {
          at(d.p, b, t, h, i, H) += (E{} - conj(kept[place(i, j, V)])) * du;
          g = g - conj(at(in.p, b, t, h, i, H)) * du;
        }
        at(d.a, b, t, h, i, H) += g * conj(before[place(i, j, V)]);
        g = keep(conj(a), g);
        if (in.own.given()) g += conj(at(in.q, b, t, h, i, H)) * o;
        if (in.b.given()) {
          at(d.p, b, t, h, i, H) += conj(before[place(i, j, V)]) * d_gone;
          g += conj(at(in.p, b, t, h, i, H)) * d_gone;
        }
      }
    }
  }
};

}  // namespace support::oracle
