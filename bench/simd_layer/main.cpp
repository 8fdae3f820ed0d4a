// bench_simd_layer [ROUNDS]
//
// The same selective scan over two SIMD layers and the library's own forward, checked against the
// oracle and then timed in turn on one thread: processor time of this thread, median and range.
#include <ctime>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "layers.hpp"
#include "support/verify.hpp"

namespace {

using gatescan::selective_scan;
using problem = bench::operands<selective_scan, float>;

double processor_seconds() {
  std::timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct contestant {
  std::string name;
  std::function<void()> call;
  std::vector<double> seconds{};
};

// Everybody once a round, so that a change of the machine's pace meets all of them.
void time_in_turn(std::vector<contestant>& all, int rounds) {
  for (int r = 0; r <= rounds; ++r)
    for (contestant& one : all) {
      const double begin = processor_seconds();
      one.call();
      if (r > 0) one.seconds.push_back(processor_seconds() - begin);  // the first round warms up
    }
  for (contestant& one : all) std::sort(one.seconds.begin(), one.seconds.end());
}
double median(const contestant& one) { return one.seconds[one.seconds.size() / 2]; }

simd_layer::scan_operands dense_operands(problem& x) {
  return {x.s.n.time,
          x.s.n.values,
          x.in.u.data,
          x.in.delta.data,
          x.in.A.data,
          x.in.B.data,
          x.in.C.data,
          x.in.D.data,
          x.in.z.data,
          x.out.re.data(),
          x.final_state.re.data()};
}

std::string error_of(problem& x, const std::function<void()>& call) {
  std::fill(x.out.re.begin(), x.out.re.end(), 0.0f);
  std::fill(x.final_state.re.begin(), x.final_state.re.end(), 0.0f);
  bench::check<support::selective_scan, float> check(x);
  check.forget_before_window();
  call();
  return check.forward(x.in.initial_state);
}

bool compare_scans(const std::vector<simd_layer::layer>& layers, gatescan::index_t channels,
                   int rounds) {
  bench::shape s{{1, 1, 2048, 1, simd_layer::states, channels}, ""};
  s.forget = {{"delta", 1000}, {"u", 0}};
  s.absent = {"delta_bias"};
  problem x(s, false);
  x.in.initial_state = {};
  const simd_layer::scan_operands dense = dense_operands(x);
  const gatescan::cpu one_thread{.threads = 1};
  std::vector<contestant> all;
  for (const simd_layer::layer& l : layers)
    all.push_back({l.name, [scan = l.scan, dense] { scan(dense); }});
  all.push_back({"the library, recurrent",
                 [&] { gatescan::forward(one_thread, gatescan::recurrent{}, x.in, x.outputs); }});
  all.push_back({"the library, chunked",
                 [&] { gatescan::forward(one_thread, gatescan::chunked{}, x.in, x.outputs); }});
  bool right = true;
  for (const contestant& one : all) {
    const std::string error = error_of(x, one.call);
    if (!error.empty()) std::fprintf(stderr, "%s: %s\n", one.name.c_str(), error.c_str());
    right = right && error.empty();
  }
  if (!right) return false;
  time_in_turn(all, rounds);
  std::printf("\n| D %d, N %d, L 2048 | ms | range | of the first |\n|---|---|---|---|\n",
              static_cast<int>(channels), simd_layer::states);
  for (const contestant& one : all)
    std::printf("| %s | %.2f | %.2f to %.2f | %.2f |\n", one.name.c_str(), 1e3 * median(one),
                1e3 * one.seconds.front(), 1e3 * one.seconds.back(), median(one) / median(all[0]));
  return true;
}

void compare_exps(const std::vector<simd_layer::layer>& layers, int rounds) {
  constexpr int count = 1024, repeats = 500;
  std::vector<float, bench::cache_lines<float>> x(count), y(count);
  for (std::size_t i = 0; i < count; ++i) x[i] = -0.01f * static_cast<float>(i);
  std::vector<contestant> all;
  const auto add = [&](const std::string& name, void (*exp)(const float*, float*, int)) {
    all.push_back({name, [&x, &y, exp] {
                     for (int r = 0; r < repeats; ++r) {
                       exp(x.data(), y.data(), count);
                       asm volatile("" : : "r"(y.data()) : "memory");
                     }
                   }});
  };
  for (const simd_layer::layer& l : layers) {
    add(std::string(l.name) + ", this polynomial", l.exp);
    add(std::string(l.name) + ", its own exp", l.own_exp);
  }
  time_in_turn(all, rounds);
  std::printf("\n| exp in L1 | a nanosecond | range |\n|---|---|---|\n");
  const double numbers = 1e-9 * count * repeats;
  for (const contestant& one : all)
    std::printf("| %s | %.2f | %.2f to %.2f |\n", one.name.c_str(), numbers / median(one),
                numbers / one.seconds.back(), numbers / one.seconds.front());
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15;
  if (argc > 2 || rounds < 1) {
    std::fprintf(stderr, "usage: %s [ROUNDS]\n", argv[0]);
    return 2;
  }
  const std::vector<simd_layer::layer> layers{simd_layer::with_vector_extensions(),
                                              simd_layer::with_highway()};
  for (const simd_layer::layer& l : layers) std::printf("%s: %d lanes\n", l.name, l.lanes);
  // 12 channels: half of the registers of 8 lanes are tails
  for (const gatescan::index_t channels : {1536, 1500, 12})
    if (!compare_scans(layers, channels, rounds)) return 1;
  compare_exps(layers, rounds);
}
