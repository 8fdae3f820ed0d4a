// S_t = diag(a_t) S_{t-1} + k_t v_t^T, out_t = Re(S_t^T q_t): the loop under gateloop and gla.
// The adjoint is G_t = conj(q_t) do_t^T + conj(a_{t+1}) G_{t+1}, with every state kept.
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
          update(in, s.batch, t, h, S);
          for (int64 i = 0; i < K; ++i)
            for (int64 j = 0; j < V; ++j)
              r.out(s.batch, t, h, j) += re(at(in.q, s.batch, t, h, i, H) * S[place(i, j, V)]);
        }
        for (int64 i = 0; i < K; ++i)
          for (int64 j = 0; j < V; ++j) r.final_state(s.state, h, i, j) = S[place(i, j, V)];
      }
    return r;
  }

  static inputs backward(const inputs& in, const outputs& dout) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    inputs d{zeros_like(in.q), zeros_like(in.k),      zeros_like(in.v),
             zeros_like(in.a), blank(in).final_state, {}};
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

  static void update(const inputs& in, int64 b, int64 t, int64 h, std::vector<E>& S) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    for (int64 i = 0; i < K; ++i)
      for (int64 j = 0; j < V; ++j)
        S[place(i, j, V)] = keep(at(in.a, b, t, h, i, H), S[place(i, j, V)]) +
                            at(in.k, b, t, h, i, H) * E(at(in.v, b, t, h, j, H));
  }

  // One token of the adjoint: G comes in as the gradient of S_t from later tokens and leaves as
  // the gradient of S_{t-1}.
  static void token_adjoint(const inputs& in, const outputs& dout, int64 b, int64 t, int64 h,
                            const std::vector<E>& before, const std::vector<E>& after,
                            std::vector<E>& G, inputs& d) {
    const int64 H = in.heads(), K = in.q.extent(3), V = in.v.extent(3);
    for (int64 i = 0; i < K; ++i)
      for (int64 j = 0; j < V; ++j) {
        const E a = at(in.a, b, t, h, i, H), q = at(in.q, b, t, h, i, H);
        const E k = at(in.k, b, t, h, i, H);
        const R v = at(in.v, b, t, h, j, H);
        const R o = dout.out.given() ? dout.out(b, t, h, j) : R{};
        E& g = G[place(i, j, V)];
        g += conj(q) * E(o);
        at(d.q, b, t, h, i, H) += conj(after[place(i, j, V)]) * E(o);
        at(d.k, b, t, h, i, H) += g * E(v);
        at(d.v, b, t, h, j, H) += re(g * conj(k));
        at(d.a, b, t, h, i, H) += g * conj(before[place(i, j, V)]);
        g = keep(conj(a), g);
      }
  }
};

}  // namespace support::oracle
