#include "limits.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <gatescan/backends/cpu/simd/math.hpp>
#include <map>
#include <thread>
#include <tuple>
#include <vector>

#include "operands.hpp"

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace bench {
namespace {

namespace simd = gatescan::simd;

template <class T>
using numbers = std::vector<T, cache_lines<T>>;

// The compiler must take x for unknown, and for used.
template <class T>
void hide(T& x) {
  asm volatile("" : "+m"(x) : : "memory");
}

// f() on so many threads at once, `amount` of work in each. The best rate of many short tries, so
// that some of them are undisturbed on a machine that does other things too.
template <class F>
double best_rate(int threads, double amount, F&& f) {
  using clock = std::chrono::steady_clock;
  using seconds = std::chrono::duration<double>;
  constexpr seconds enough(0.1);
  const auto begin = clock::now();
  double best = 0;
  for (int tries = 0; tries < 5 || clock::now() - begin < enough; ++tries) {
    const auto start = clock::now();
    {
      std::vector<std::thread> others;
      for (int t = 1; t < threads; ++t) others.emplace_back([&f, t] { f(t); });
      f(0);
      for (std::thread& t : others) t.join();
    }
    best = std::max(best, amount * threads / seconds(clock::now() - start).count());
  }
  return best;
}

template <class T>
double fma_rate(int threads) {
  static constexpr int chains = 10, rounds = 100'000;  // latency times ports is 8 or 10 at most
  return best_rate(threads, 2.0 * simd::lanes<T> * chains * rounds, [](int) {
    simd::pack<T> sums[chains], x(T(0.5)), y(T(1));
    hide(x), hide(y);
    for (auto& s : sums) s = y;
    for (int r = 0; r < rounds; ++r)
#pragma GCC unroll 10
      for (int c = 0; c < chains; ++c) sums[c] = simd::fma(sums[c], x, y);
    for (int c = 1; c < chains; ++c) sums[0] = sums[0] + sums[c];
    simd::pack<T> total = sums[0];
    hide(total);
  });
}

template <class T>
double exp_rate(int threads) {
  static constexpr int count = 1024, rounds = 500;
  return best_rate(threads, static_cast<double>(count) * rounds, [](int) {
    numbers<T> x(count), y(count);
    for (std::size_t i = 0; i < count; ++i) x[i] = static_cast<T>(-0.01 * static_cast<double>(i));
    for (int r = 0; r < rounds; ++r) {
      for (int i = 0; i < count; i += simd::lanes<T>)
        simd::store(y.data() + i, simd::exp(simd::load(x.data() + i)));
      hide(*y.data());
    }
  });
}

struct triad_arrays {
  explicit triad_arrays(std::size_t n) : a(n, 1.0f), b(n, 2.0f), c(n, 3.0f) {}
  numbers<float> a, b, c;
};

void triad(triad_arrays& x, float factor) {
  const simd::pack<float> s(factor);
  for (std::size_t i = 0; i < x.a.size(); i += simd::lanes<float>)
    simd::store(x.c.data() + i,
                simd::fma(s, simd::load(x.b.data() + i), simd::load(x.a.data() + i)));
}
void triad_streaming(triad_arrays& x, float factor) {
#if defined(__SSE2__)
  const __m128 s = _mm_set1_ps(factor);
  for (std::size_t i = 0; i < x.a.size(); i += 4)
    _mm_stream_ps(x.c.data() + i, _mm_add_ps(_mm_load_ps(x.a.data() + i),
                                             _mm_mul_ps(s, _mm_load_ps(x.b.data() + i))));
  _mm_sfence();
#else
  triad(x, factor);
#endif
}
void update(numbers<float>& x, float factor) {
  const simd::pack<float> s(factor);
  for (std::size_t i = 0; i < x.size(); i += simd::lanes<float>)
    simd::store(x.data() + i, s * simd::load(x.data() + i));
}

double measure_bandwidth(traffic kind, double footprint, int threads) {
  constexpr double least_bytes = 16e6;  // a try takes a millisecond or more
  const std::size_t arrays = kind == traffic::update ? 1 : 3;
  const auto bytes = static_cast<std::size_t>(footprint) / static_cast<std::size_t>(threads);
  const std::size_t n = std::max<std::size_t>(bytes / (arrays * sizeof(float)) / 64, 1) * 64;
  const double moved =
      static_cast<double>(n * sizeof(float)) * (kind == traffic::update ? 2.0 : 3.0);
  const int rounds = std::max(1, static_cast<int>(least_bytes / moved));
  const auto total = static_cast<std::size_t>(threads);
  std::vector<triad_arrays> triads(total, triad_arrays(kind == traffic::update ? 0 : n));
  std::vector<numbers<float>> states(total, numbers<float>(kind == traffic::update ? n : 0, 1.0f));
  return best_rate(threads, moved * rounds, [&](int thread) {
    const auto t = static_cast<std::size_t>(thread);
    float factor = 1;
    for (int r = 0; r < rounds; ++r) {
      hide(factor);
      if (kind == traffic::update)
        update(states[t], factor);
      else if (kind == traffic::triad_streaming)
        triad_streaming(triads[t], factor);
      else
        triad(triads[t], factor);
    }
  });
}

}  // namespace

const arithmetic_limits& arithmetic(int threads) {
  static std::map<int, arithmetic_limits> known;
  const auto found = known.find(threads);
  if (found != known.end()) return found->second;
  return known[threads] = {fma_rate<float>(threads), fma_rate<double>(threads),
                           exp_rate<float>(threads), exp_rate<double>(threads)};
}

double bandwidth(traffic kind, double footprint, int threads) {
  if (kind == traffic::triad)
    return std::max(bandwidth(traffic::triad_ordinary, footprint, threads),
                    bandwidth(traffic::triad_streaming, footprint, threads));
  // Beyond the caches the size makes no difference; below, powers of two are near enough.
  const auto largest = std::uint64_t{192} << 20;
  const auto size = std::min(std::bit_floor(static_cast<std::uint64_t>(footprint)), largest);
  static std::map<std::tuple<traffic, std::uint64_t, int>, double> known;
  double& rate = known[{kind, size, threads}];
  if (rate == 0) rate = measure_bandwidth(kind, static_cast<double>(size), threads);
  return rate;
}

std::string describe_limits(int threads) {
  const arithmetic_limits& a = arithmetic(threads);
  const double memory = 192e6, cache = 256.0 * 1024 * threads;
  char text[400];
  std::snprintf(text, sizeof text,
                "triad from memory %.1f GB/s (streaming stores %.1f), update in L2 (256 KiB a "
                "thread) %.0f GB/s, FMA %.0f GFLOP/s float, %.0f double, exp %.2f a ns float, "
                "%.2f double",
                bandwidth(traffic::triad_ordinary, memory, threads) * 1e-9,
                bandwidth(traffic::triad_streaming, memory, threads) * 1e-9,
                bandwidth(traffic::update, cache, threads) * 1e-9, a.fma_float * 1e-9,
                a.fma_double * 1e-9, a.exp_float * 1e-9, a.exp_double * 1e-9);
  return text;
}

}  // namespace bench
