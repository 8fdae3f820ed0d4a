// The corrected transition in plain loops, and its adjoint: what kernels are compared with.
//
//   S' = a_t (.) S_{t-1}, 0 where a_t is 0      u_t = v_t - S'^T p_t
//   S_t = S' + k_t u_t^T                        o_t = S_t^T q_t
#pragma once

#include <cstddef>
#include <vector>

#include <gatescan/core/view.hpp>

namespace support::corrected {

using gatescan::index_t;

// What a chunk is given and, as gradients, what it returns: rows of keys or values.
template <class T>
struct numbers {
  std::vector<T> q, p, k, a;  // [token][key]
  std::vector<T> v;           // [token][value]
  std::vector<T> s;           // [key][value]
};
template <class T>
struct results {
  std::vector<T> o, s;
};
struct shape {
  index_t keys, values, tokens;
};

template <class T>
results<T> forward(const shape& n, const numbers<T>& x) {
  results<T> y{std::vector<T>(static_cast<std::size_t>(n.tokens * n.values)), x.s};
  std::vector<T> u(static_cast<std::size_t>(n.values));
  for (index_t t = 0; t < n.tokens; ++t) {
    const auto key = [&](const std::vector<T>& row, index_t i) {
      return row[static_cast<std::size_t>(t * n.keys + i)];
    };
    for (index_t j = 0; j < n.values; ++j)
      u[static_cast<std::size_t>(j)] = x.v[static_cast<std::size_t>(t * n.values + j)];
    for (index_t i = 0; i < n.keys; ++i)
      for (index_t j = 0; j < n.values; ++j) {
        T& s = y.s[static_cast<std::size_t>(i * n.values + j)];
        s = key(x.a, i) == T(0) ? T(0) : key(x.a, i) * s;
        u[static_cast<std::size_t>(j)] -= key(x.p, i) * s;
      }
    for (index_t i = 0; i < n.keys; ++i)
      for (index_t j = 0; j < n.values; ++j) {
        T& s = y.s[static_cast<std::size_t>(i * n.values + j)];
        s += key(x.k, i) * u[static_cast<std::size_t>(j)];
        y.o[static_cast<std::size_t>(t * n.values + j)] += key(x.q, i) * s;
      }
  }
  return y;
}

// d: gradients of o and of the state after the tokens.
inline numbers<double> backward(const shape& n, const numbers<double>& x,
                                const results<double>& d) {
  const auto size = static_cast<std::size_t>(n.keys * n.values);
  std::vector<std::vector<double>> states{x.s};
  for (index_t t = 0; t < n.tokens; ++t) {
    const auto row = [&](const std::vector<double>& from, index_t width) {
      const auto first = from.begin() + t * width;
      return std::vector<double>(first, first + width);
    };
    states.push_back(forward<double>({n.keys, n.values, 1},
                                     {row(x.q, n.keys), row(x.p, n.keys), row(x.k, n.keys),
                                      row(x.a, n.keys), row(x.v, n.values), states.back()})
                         .s);
  }
  numbers<double> g{x.q, x.q, x.q, x.q, x.v, d.s};
  std::vector<double> u(static_cast<std::size_t>(n.values)), du = u;
  for (index_t t = n.tokens - 1; t >= 0; --t) {
    const std::vector<double>&before = states[static_cast<std::size_t>(t)],
          &after = states[static_cast<std::size_t>(t + 1)];
    std::vector<double> decayed(size);
    const auto key = [&](auto& row, index_t i) -> auto& {
      return row[static_cast<std::size_t>(t * n.keys + i)];
    };
    const auto value = [&](auto& row, index_t j) -> auto& {
      return row[static_cast<std::size_t>(t * n.values + j)];
    };
    const auto entry = [&](auto& state, index_t i, index_t j) -> auto& {
      return state[static_cast<std::size_t>(i * n.values + j)];
    };
    for (index_t j = 0; j < n.values; ++j) {
      double& uj = u[static_cast<std::size_t>(j)] = value(x.v, j);
      double& dj = du[static_cast<std::size_t>(j)] = 0;
      for (index_t i = 0; i < n.keys; ++i) {
        const double a = key(x.a, i);
        entry(decayed, i, j) = a == 0 ? 0 : a * entry(before, i, j);
        uj -= key(x.p, i) * entry(decayed, i, j);
        entry(g.s, i, j) += key(x.q, i) * value(d.o, j);
        dj += key(x.k, i) * entry(g.s, i, j);
      }
      value(g.v, j) = dj;
    }
    for (index_t i = 0; i < n.keys; ++i) {
      double dq = 0, dk = 0, dp = 0, da = 0;
      for (index_t j = 0; j < n.values; ++j) {
        double& here = entry(g.s, i, j);
        dq += entry(after, i, j) * value(d.o, j);
        dk += here * u[static_cast<std::size_t>(j)];
        dp -= entry(decayed, i, j) * du[static_cast<std::size_t>(j)];
        here -= key(x.p, i) * du[static_cast<std::size_t>(j)];
        da += here * entry(before, i, j);
        here = key(x.a, i) == 0 ? 0 : key(x.a, i) * here;
      }
      key(g.q, i) = dq, key(g.k, i) = dk, key(g.p, i) = dp, key(g.a, i) = da;
    }
  }
  return g;
}

}  // namespace support::corrected
