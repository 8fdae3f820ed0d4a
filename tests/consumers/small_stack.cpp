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

// A function a form: the frames of a caller that has them all would be a seventh of the stack.
numbers of_size(index_t n, float x) { return numbers(static_cast<std::size_t>(B * L * H * n), x); }
void key_gates() {
  const numbers k = of_size(K, 0.25f), gate = of_size(K, -0.5f), v = of_size(V, 1);
  numbers result = of_size(V, 0);
  const auto keys = rows<const float>(k.data(), K), decays = rows<const float>(gate.data(), K);
  run<gla>({.q = keys, .k = keys, .v = rows<const float>(v.data(), V), .log_decay = decays},
           result);
}
void complex_gates() {
  const numbers k = of_size(K, 0.25f), gate = of_size(K, -0.5f), v = of_size(V, 1);
  numbers result = of_size(V, 0);
  const auto keys = rows<const float>(k.data(), K), decays = rows<const float>(gate.data(), K);
  run<gateloop>({.q = keys,
                 .k = keys,
                 .v = rows<const float>(v.data(), V),
                 .log_magnitude = decays,
                 .phase = decays},
                result);
}
void corrected_keys() {
  const numbers k = of_size(K, 0.25f), gate = of_size(1, -0.5f), beta = of_size(1, 0.5f),
                v = of_size(V, 1);
  numbers result = of_size(V, 0);
  const auto keys = rows<const float>(k.data(), K);
  run<gated_delta_net>({.q = keys,
                        .k = keys,
                        .v = rows<const float>(v.data(), V),
                        .beta = view<const float>(beta.data(), {B, L, H}),
                        .log_decay = view<const float>(gate.data(), {B, L, H, 1})},
                       result);
}
void gates_of_entries() {
  const index_t D = H * V, N = K;
  const numbers A(static_cast<std::size_t>(D * N), -1), states = of_size(N, 1), u = of_size(V, 1);
  numbers result = of_size(V, 0), d_u = result;
  const view<const float> inputs(u.data(), {B, L, D}), keys(states.data(), {B, L, N});
  const selective_scan::inputs<float> in{
      .u = inputs, .delta = inputs, .A = view<const float>(A.data(), {D, N}), .B = keys, .C = keys};
  const view<float> out(result.data(), {B, L, D});
  forward(cpu{.threads = 1}, chunked{}, in, {.out = out});
  backward(cpu{.threads = 1}, chunked{}, in, {.out = out},
           {.u = view<float>(d_u.data(), {B, L, D})});
}
void* every_form(void*) {
  key_gates();
  complex_gates();
  corrected_keys();
  gates_of_entries();
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
