// Compiled without optimisation: chunked forward and backward of every form of gates on a thread
// whose whole stack is 64 KiB, half of what a thread of musl has.
#include <pthread.h>

#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <vector>

namespace {

using namespace gatescan;

constexpr index_t B = 1, L = 70, H = 2, K = 19, V = 21;
using numbers = std::vector<float>;

template <class T>
view<T> rows(T* p, index_t n) {
  return {p, {B, L, H, n}};
}

template <class R>
void run(const typename R::template inputs<float>& in, numbers& result) {
  const auto out = rows(result.data(), V);
  forward(cpu{.threads = 1}, chunked{}, in, {.out = out});
  typename R::template gradients<float> d;
  numbers d_q(static_cast<std::size_t>(B * L * H * K)), d_k = d_q, d_v(result.size());
  d.q = rows(d_q.data(), K), d.k = rows(d_k.data(), K), d.v = rows(d_v.data(), V);
  backward(cpu{.threads = 1}, chunked{}, in, {.out = out}, d);
  result = d_v;
}

void* every_form(void*) {
  const auto size = [](index_t n) { return static_cast<std::size_t>(B * L * H * n); };
  numbers k(size(K), 0.25f), gate(size(K), -0.5f), v(size(V), 1), beta(size(1), 0.5f);
  numbers result(size(V));
  const auto keys = rows<const float>(k.data(), K), decays = rows<const float>(gate.data(), K);
  const auto values = rows<const float>(v.data(), V);
  run<gla>({.q = keys, .k = keys, .v = values, .log_decay = decays}, result);
  run<gateloop>({.q = keys, .k = keys, .v = values, .log_magnitude = decays, .phase = decays},
                result);
  const view<const float> head_gates(gate.data(), {B, L, H, 1}), betas(beta.data(), {B, L, H});
  run<gated_delta_net>({.q = keys, .k = keys, .v = values, .beta = betas, .log_decay = head_gates},
                       result);
  const index_t D = H * V, N = K;
  const numbers A(static_cast<std::size_t>(D * N), -1),
      by_state(static_cast<std::size_t>(L * N), 1);
  const view<const float> u(v.data(), {B, L, D}), states(by_state.data(), {B, L, N});
  const selective_scan::inputs<float> in{
      .u = u, .delta = u, .A = view<const float>(A.data(), {D, N}), .B = states, .C = states};
  const view<float> out(result.data(), {B, L, D});
  forward(cpu{.threads = 1}, chunked{}, in, {.out = out});
  numbers d_u(result.size());
  backward(cpu{.threads = 1}, chunked{}, in, {.out = out},
           {.u = view<float>(d_u.data(), {B, L, D})});
  return nullptr;
}

}  // namespace

int main() {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_t thread;
  if (pthread_attr_setstacksize(&attributes, 64 * 1024) != 0 ||
      pthread_create(&thread, &attributes, &every_form, nullptr) != 0) {
    std::puts("no thread with a stack of 64 KiB");
    return 1;
  }
  pthread_join(thread, nullptr);
  std::puts("done");
}
