// Training through the recurrence: a layer with K gates learns to be a target's decay rates.
//   out = gla(q, k, v, log_decay),   loss = mean (out - target)^2 / 2
// The parameters are one log_decay and one q a key, the same for all tokens: views of stride 0. The
// gradient view has stride 0 too, and so receives the sum over tokens.
#include <cmath>
#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <random>
#include <vector>

using gatescan::gla, gatescan::index_t, gatescan::view;

constexpr index_t L = 500, K = 3;

struct layer {
  std::vector<double> rate, q;  // log_decay = -exp(rate): always below 0
  std::vector<double> log_decay = std::vector<double>(K);

  // One row for all tokens.
  template <class T>
  static view<T> parameter(T* p) {
    return {p, {1, L, 1, K}, {0, 0, 0, 1}};
  }
  gla::inputs<double> inputs(const std::vector<double>& ones, const std::vector<double>& v) {
    for (std::size_t i = 0; i < K; ++i) log_decay[i] = -std::exp(rate[i]);
    return {.q = parameter(q.data()),
            .k = parameter(ones.data()),
            .v = {v.data(), {1, L, 1, 1}},
            .log_decay = parameter(log_decay.data())};
  }
};

int main() {
  std::mt19937 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> ones(K, 1.0), v(L), target(L), out(L), d_out(L), d_q(K), d_log_decay(K);
  for (double& x : v) x = normal(random);

  layer truth{.rate = {-3.0, -1.5, 0.0}, .q = {0.5, -1.0, 1.0}};
  const gatescan::cpu cpu;
  const gatescan::chunked mode;
  gatescan::forward(cpu, mode, truth.inputs(ones, v), {.out = {target.data(), {1, L, 1, 1}}});

  layer model{.rate = {-2.5, -1.0, -0.5}, .q = {0.1, 0.0, 0.1}};
  double first = 0, loss = 0;
  for (int step = 0; step <= 400; ++step) {
    const auto in = model.inputs(ones, v);
    gatescan::forward(cpu, mode, in, {.out = {out.data(), {1, L, 1, 1}}});
    loss = 0;
    for (std::size_t t = 0; t < out.size(); ++t) {
      d_out[t] = (out[t] - target[t]) / L;
      loss += d_out[t] * (out[t] - target[t]) / 2;
    }
    if (step == 0) first = loss;
    if (step % 100 == 0) std::printf("step %3d  loss %.6f\n", step, loss);

    gatescan::backward(
        cpu, mode, in, {.out = {d_out.data(), {1, L, 1, 1}}},
        {.q = layer::parameter(d_q.data()), .log_decay = layer::parameter(d_log_decay.data())});
    for (std::size_t i = 0; i < K; ++i) {
      model.q[i] -= 0.1 * d_q[i];
      model.rate[i] -= 0.1 * d_log_decay[i] * model.log_decay[i];  // d log_decay / d rate
    }
  }
  for (std::size_t i = 0; i < K; ++i)
    std::printf("gate %zu: %.3f, learnt %.3f\n", i, std::exp(truth.log_decay[i]),
                std::exp(model.log_decay[i]));
  return loss < first / 20 ? 0 : 1;
}
