// Decoding: the prompt in one call, then token by token on the same state. In recurrent mode the
// pieces give the bits of one call over everything.
//
// Small work costs mostly the call. `step` checks its views every time; a `stepper` does so once,
// and many sequences of a batch in one step are cheaper than a step each. Threads take care of
// themselves: little work gets one.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <vector>

using gatescan::selective_scan, gatescan::view;

int main() {
  const std::int64_t prompt = 48, L = 64, D = 32, N = 16;
  const auto wave = [](std::int64_t count, float speed) {
    std::vector<float> x(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(speed * static_cast<float>(i));
    return x;
  };
  const std::vector<float> u = wave(L * D, 0.7f), delta = wave(L * D, 0.3f);
  const std::vector<float> B = wave(L * N, 0.11f), C = wave(L * N, 0.23f);
  std::vector<float> A(D * N), whole(L * D), streamed(L * D), state(D * N);
  for (std::size_t i = 0; i < A.size(); ++i) A[i] = -static_cast<float>(i % N + 1);

  // Tokens [first, first + count) of everything that has a time axis.
  const auto inputs = [&](std::int64_t first, std::int64_t count) {
    return selective_scan::inputs<float>{.u = {u.data() + first * D, {1, count, D}},
                                         .delta = {delta.data() + first * D, {1, count, D}},
                                         .A = {A.data(), {D, N}},
                                         .B = {B.data() + first * N, {1, count, N}},
                                         .C = {C.data() + first * N, {1, count, N}},
                                         .softplus = true};
  };
  const gatescan::cpu cpu;
  gatescan::forward(cpu, gatescan::recurrent{}, inputs(0, L), {.out = {whole.data(), {1, L, D}}});

  // The state is yours: D x N numbers a sequence, however long the text.
  const view<float> memory{state.data(), {1, D, N}};
  gatescan::forward(cpu, gatescan::recurrent{}, inputs(0, prompt),
                    {.out = {streamed.data(), {1, prompt, D}}, .final_state = memory});

  // What the layers before write for every token, and the output. These views have no time axis.
  std::vector<float> u_now(D), delta_now(D), B_now(N), C_now(N), out_now(D);
  const selective_scan::token<float> token{.u = {u_now.data(), {1, D}},
                                           .delta = {delta_now.data(), {1, D}},
                                           .A = {A.data(), {D, N}},
                                           .B = {B_now.data(), {1, N}},
                                           .C = {C_now.data(), {1, N}},
                                           .softplus = true};
  gatescan::stepper decoder{cpu, token, memory, view<float>{out_now.data(), {1, D}}};
  for (std::int64_t t = prompt; t < L; ++t) {
    std::copy_n(u.data() + t * D, D, u_now.data());
    std::copy_n(delta.data() + t * D, D, delta_now.data());
    std::copy_n(B.data() + t * N, N, B_now.data());
    std::copy_n(C.data() + t * N, N, C_now.data());
    decoder.step();  // or, for views that change, gatescan::step(cpu, token, memory, out)
    std::copy_n(out_now.data(), D, streamed.data() + t * D);
  }

  // A prompt may take the fast way: the same function, within a few roundings.
  std::vector<float> chunked(L * D);
  gatescan::forward(cpu, gatescan::chunked{}, inputs(0, L), {.out = {chunked.data(), {1, L, D}}});
  float rounding = 0;
  for (std::size_t i = 0; i < whole.size(); ++i)
    rounding = std::max(rounding, std::abs(chunked[i] - whole[i]));
  std::printf("%lld tokens: streamed %s; chunked differs by %.2g\n", static_cast<long long>(L),
              streamed == whole ? "bit for bit the same" : "DIFFERENT",
              static_cast<double>(rounding));
  return streamed == whole && rounding < 1e-5f ? 0 : 1;
}
