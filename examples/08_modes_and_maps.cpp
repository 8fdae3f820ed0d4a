// Which mode, and what a call does: automatic, describe, the attention map, one token at a time.
// And two relatives that are recurrences you have already: RetNet is gla, LRU is elementwise, with
// a stride of 0 where a number does not change.
#include <cmath>
#include <complex>
#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <vector>

int main() {
  const std::int64_t L = 64, H = 2, K = 8, V = 8;
  std::vector<float> q(L * H * K, 0.1f), k(L * H * K, 0.2f), v(L * H * V, 1.0f);

  // RetNet: head h keeps 1 - 2^-(5 + h) a token. One number a head, the same for every token.
  const float decay[H] = {std::log1p(-1 / 32.0f), std::log1p(-1 / 64.0f)};
  const gatescan::gla::inputs<float> retnet{.q = {q.data(), {1, L, H, K}},
                                            .k = {k.data(), {1, L, H, K}},
                                            .v = {v.data(), {1, L, H, V}},
                                            .log_decay = {decay, {1, L, H, 1}, {0, 0, 1, 1}}};

  // automatic{} picks a mode by the shape; describe says which, why, and what scratch it takes.
  std::vector<float> out(L * H * V), map(H * L * L);
  const gatescan::cpu here{};
  gatescan::forward(here, gatescan::automatic{}, retnet, {.out = {out.data(), {1, L, H, V}}});
  const auto what = gatescan::describe(here, gatescan::automatic{}, retnet);
  std::puts(gatescan::to_string(what).c_str());

  // Which tokens a token reads, and how much of each: map[h][t][s], with out = map v.
  gatescan::attention_map(here, retnet, gatescan::view<float>(map.data(), {1, H, L, L}));
  double worst = 0;
  for (std::int64_t t = 0; t < L; ++t) {
    float sum = 0;
    for (std::int64_t s = 0; s < L; ++s) sum += map[static_cast<std::size_t>(t * L + s)];
    worst = std::max(worst,
                     static_cast<double>(std::abs(sum - out[static_cast<std::size_t>(t * H * V)])));
  }
  std::printf("out is map v within %.1e\n", worst);

  // Decoding: step takes one token, without the time axis, and advances the state in place.
  std::vector<float> state(H * K * V), last(H * V);
  for (std::int64_t t = 0; t < L; ++t)
    gatescan::step(here,
                   gatescan::gla::token<float>{.q = {q.data() + t * H * K, {1, H, K}},
                                               .k = {k.data() + t * H * K, {1, H, K}},
                                               .v = {v.data() + t * H * V, {1, H, V}},
                                               .log_decay = {decay, {1, H, 1}}},
                   {state.data(), {1, H, K, V}}, {last.data(), {1, H, V}});
  for (std::size_t i = 0; i < last.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(last[i] - out[out.size() - H * V + i])));
  std::printf("the last token alone is the last of all within %.1e\n", worst);

  // LRU: h = lambda h + x, a complex lambda a channel, of stride 0 in time.
  const std::int64_t D = 3;
  const std::complex<float> lambda[D] = {{0.9f, 0.1f}, {0.5f, -0.5f}, {0, 0.99f}};
  std::vector<std::complex<float>> x(L * D, {1, 0}), h(L * D);
  gatescan::forward(
      here, gatescan::scan{},
      gatescan::elementwise::inputs<float>{
          .a = gatescan::view<const std::complex<float>>(lambda, {1, L, 1, D}, {0, 0, 0, 1}),
          .x = gatescan::view<const std::complex<float>>(x.data(), {1, L, 1, D})},
      {.out = gatescan::view<std::complex<float>>(h.data(), {1, L, 1, D})});
  const std::complex<float> settled = 1.0f / (1.0f - lambda[1]);
  worst = std::max(worst, static_cast<double>(std::abs(h[(L - 1) * D + 1] - settled)));
  return worst < 1e-4 ? 0 : 1;
}
