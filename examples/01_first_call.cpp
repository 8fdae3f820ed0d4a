// The first call: gated linear attention over 256 tokens, forward and backward.
#include <cmath>
#include <gatescan/gatescan.hpp>
#include <iostream>
#include <vector>

int main() {
  const std::int64_t L = 256, H = 4, K = 16, V = 32;  // one batch of L tokens, H heads
  std::vector<float> q(L * H * K, 0.1f), k(L * H * K, 0.2f), v(L * H * V, 1.0f);
  std::vector<float> log_decay(L * H, -0.05f);  // every head forgets 5 % a token
  std::vector<float> out(L * H * V), grad_out(L * H * V, 1.0f), grad_q(L * H * K);

  // Views of your memory, [batch, time, heads, features]: nothing is copied.
  const gatescan::gla::inputs<float> in{.q = {q.data(), {1, L, H, K}},
                                        .k = {k.data(), {1, L, H, K}},
                                        .v = {v.data(), {1, L, H, V}},
                                        .log_decay = {log_decay.data(), {1, L, H, 1}}};
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = {out.data(), {1, L, H, V}}});

  // Gradients of the operands that you ask for, from the gradient of the output.
  gatescan::backward(gatescan::cpu{}, gatescan::chunked{}, in,
                     {.out = {grad_out.data(), {1, L, H, V}}},
                     {.q = {grad_q.data(), {1, L, H, K}}});

  // With the same number in every token, out is K q k v times a geometric series in exp(-0.05).
  const float series = 1 / (1 - std::exp(-0.05f));
  std::cout << "last output " << out.back() << " (expected " << 0.32f * series
            << "), last gradient of q " << grad_q.back() << " (expected " << 6.4f * series << ")\n";
  const bool right = std::abs(out.back() - 0.32f * series) < 1e-3f &&
                     std::abs(grad_q.back() - 6.4f * series) < 1e-2f;
  return right ? 0 : 1;
}
