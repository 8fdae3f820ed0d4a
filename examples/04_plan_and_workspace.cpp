// A plan fixes backend, mode and shape once. It says how much scratch memory is enough, and with
// that memory no call allocates: the form for a training loop, and for code that must not touch
// the heap.
#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <vector>

using gatescan::gla, gatescan::view;

int main() {
  const std::int64_t B = 2, L = 300, H = 3, K = 8, V = 8;
  const gatescan::plan plan{
      gatescan::cpu{}, gatescan::chunked{64},
      gla::problem<float>{.batch = B, .time = L, .heads = H, .keys = K, .values = V}};
  std::vector<std::byte> scratch(plan.workspace_bytes());  // the caller's; reuse it as you like

  std::vector<float> q(B * L * H * K, 0.1f), k(q), v(B * L * H * V, 0.5f), g(q.size(), -0.1f);
  std::vector<float> out(v.size()), d_out(v.size(), 1.0f), d_q(q.size()), d_g(q.size());
  gla::inputs<float> in{.q = {q.data(), {B, L, H, K}},
                        .k = {k.data(), {B, L, H, K}},
                        .v = {v.data(), {B, L, H, V}},
                        .log_decay = {g.data(), {B, L, H, K}}};
  for (int pass = 0; pass < 3; ++pass) {  // nothing here allocates
    plan.forward(in, {.out = {out.data(), {B, L, H, V}}}, {scratch});
    plan.backward(in, {.out = {d_out.data(), {B, L, H, V}}},
                  {.q = {d_q.data(), {B, L, H, K}}, .log_decay = {d_g.data(), {B, L, H, K}}},
                  {scratch});
  }

  // One plan may serve many threads, each with a scratch of its own. describe says what it does.
  const auto what = gatescan::describe(gatescan::cpu{.threads = 1}, gatescan::automatic{}, in);
  std::printf("the plan needs %zu bytes; automatic would run %s\n", plan.workspace_bytes(),
              gatescan::to_string(what).c_str());

  // What does not fit is refused before anything is written, in words.
  int refused = 0;
  try {
    in.k = {k.data(), {B, L, H, K - 1}};
    plan.forward(in, {.out = {out.data(), {B, L, H, V}}}, {scratch});
  } catch (const gatescan::shape_error& error) {
    std::printf("shape_error: %s\n", error.what());
    ++refused;
  }
  try {
    in.k = {k.data(), {B, L, H, K}};
    plan.forward(in, {.out = {out.data(), {B, L, H, V}}}, {{scratch.data(), 1000}});
  } catch (const gatescan::workspace_error& error) {
    std::printf("workspace_error: %s\n", error.what());
    ++refused;
  }
  return refused == 2 && out.back() > 0 && d_g.front() == 0 ? 0 : 1;
}
