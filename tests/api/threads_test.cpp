// How many threads a call uses, and what it does to them: the count is asked for once, threads that
// are the caller's run its work, and no thread keeps another's control word.

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <condition_variable>
#include <gatescan/gatescan.hpp>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#elif defined(__linux__)
#include <sched.h>
#endif
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif
#include <Eigen/Core>
#include <unsupported/Eigen/CXX11/ThreadPool>
#if defined(GATESCAN_HAS_TBB)
#include <tbb/parallel_for.h>
#endif

namespace {

using gatescan::cpu, gatescan::elementwise, gatescan::executor, gatescan::index_t, gatescan::view;

// One problem with work for many threads, and its results. All tokens share a gate, so that its
// gradient is a sum over what every thread worked on.
struct decays {
  static constexpr index_t L = 2000, H = 12, D = 20;
  std::vector<float> x = wave(1), d_out = wave(2), out, d_x, d_a;
  float a = 0.75f;

  static std::vector<float> wave(int phase) {
    std::vector<float> numbers(static_cast<std::size_t>(L * H * D));
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = std::sin(static_cast<float>(i) * 0.37f + static_cast<float>(phase));
    return numbers;
  }
  template <class T>
  static view<T> all(T* data) {
    return {data, {1, L, H, D}};
  }
  template <class T>
  static view<T> shared(T* data) {
    return {data, {1, L, H, D}, {0, 0, 0, 0}};
  }
  elementwise::inputs<float> inputs() const { return {.a = shared(&a), .x = all(x.data())}; }
  elementwise::outputs<float> outputs() { return {.out = all(out.data())}; }

  template <class Mode>
  void run(const cpu& backend, const Mode& mode) {
    out.assign(x.size(), 0), d_x.assign(x.size(), 0), d_a.assign(1, 0);
    gatescan::forward(backend, mode, inputs(), outputs());
    gatescan::backward(backend, mode, inputs(), {.out = all<const float>(d_out.data())},
                       {.a = shared(d_a.data()), .x = all(d_x.data())});
  }
  friend bool operator==(const decays&, const decays&) = default;
  template <class Mode>
  static decays of(const cpu& backend, const Mode& mode) {
    decays p;
    p.run(backend, mode);
    return p;
  }
};
const elementwise::problem<float> shape{
    .batch = 1, .time = decays::L, .heads = decays::H, .channels = decays::D};

// ---- the count

TEST(threads, a_negative_count_is_refused_before_anything_is_written) {
  decays p;
  p.out.assign(p.x.size(), 7);
  try {
    gatescan::forward(cpu{.threads = -2}, gatescan::recurrent{}, p.inputs(), p.outputs());
    FAIL() << "no error";
  } catch (const std::invalid_argument& e) {
    const std::string words = e.what();
    EXPECT_NE(words.find("threads"), std::string::npos) << words;
    EXPECT_NE(words.find("expected 0"), std::string::npos) << words;
    EXPECT_NE(words.find("got -2"), std::string::npos) << words;
  }
  EXPECT_EQ(p.out, std::vector<float>(p.x.size(), 7));
  EXPECT_THROW((gatescan::plan{cpu{.threads = -1}, gatescan::recurrent{}, shape}),
               std::invalid_argument);
}

// Sets how many threads there are for this process, for as long as it lives.
#if defined(_OPENMP)
class threads_there_are {
 public:
  explicit threads_there_are(int n) : before_(omp_get_max_threads()) { omp_set_num_threads(n); }
  ~threads_there_are() { omp_set_num_threads(before_); }
  static int most() { return 7; }

 private:
  int before_;
};
#elif defined(__linux__)
class threads_there_are {
 public:
  explicit threads_there_are(int n) {
    sched_getaffinity(0, sizeof before_, &before_);
    cpu_set_t some;
    CPU_ZERO(&some);
    for (int core = 0, left = n; core < CPU_SETSIZE && left > 0; ++core)
      if (CPU_ISSET(core, &before_)) CPU_SET(core, &some), --left;
    sched_setaffinity(0, sizeof some, &some);
  }
  ~threads_there_are() { sched_setaffinity(0, sizeof before_, &before_); }
  static int most() {
    cpu_set_t all;
    sched_getaffinity(0, sizeof all, &all);
    return CPU_COUNT(&all);
  }

 private:
  cpu_set_t before_;
};
#endif

#if defined(_OPENMP) || defined(__linux__)
TEST(threads, are_as_many_as_this_process_is_given) {
  const decays p;
  const auto count = [&] {
    return gatescan::describe(cpu{}, gatescan::recurrent{}, p.inputs()).threads;
  };
  const int most = threads_there_are::most();
  for (const int n : {1, 2, most})
    if (n <= most) {
      const threads_there_are some(n);
      EXPECT_EQ(count(), n);
    }
}

// A plan keeps the count that it was made with, so that its workspace stays enough.
TEST(threads, more_of_them_after_a_plan_do_not_change_the_plan) {
  decays p;
  p.out.assign(p.x.size(), 0);
  const auto plan = [&] {
    const threads_there_are one(1);
    return gatescan::plan{cpu{}, gatescan::recurrent{}, shape};
  }();
  const threads_there_are many(threads_there_are::most());
  std::vector<std::byte> scratch(plan.workspace_bytes());
  EXPECT_NO_THROW(plan.forward(p.inputs(), p.outputs(), {scratch}));
}
#endif

TEST(threads, none_is_started_for_little_work) {
  float a = 0.5f, x[8] = {1, 2, 3, 4, 5, 6, 7, 8}, out[8] = {};
  const elementwise::inputs<float> in{.a = view<const float>(&a, {1, 2, 2, 2}, {0, 0, 0, 0}),
                                      .x = view<const float>(x, {1, 2, 2, 2})};
  EXPECT_EQ(gatescan::describe(cpu{}, gatescan::recurrent{}, in).threads, 1);
  const executor never{[](void*, int, void (*)(void*, int), void*) { FAIL() << "called"; }};
  gatescan::forward(cpu{.run = never}, gatescan::recurrent{}, in,
                    {.out = view<float>(out, {1, 2, 2, 2})});
  EXPECT_EQ(out[7], 8 + 0.5f * 4);
}

// ---- the caller's threads

// Everything on one thread, the last job first.
void one_after_another(void* calls, int jobs, void (*job)(void*, int), void* data) {
  ++*static_cast<int*>(calls);
  for (int i = jobs - 1; i >= 0; --i) job(data, i);
}

void on_eigens(void* pool, int jobs, void (*job)(void*, int), void* data) {
  Eigen::Barrier done(static_cast<unsigned>(jobs));
  for (int i = 0; i < jobs; ++i)
    static_cast<Eigen::ThreadPool*>(pool)->Schedule([&done, job, data, i] {
      job(data, i);
      done.Notify();
    });
  done.Wait();
}

template <class Mode>
class callers_threads : public ::testing::Test {};
using modes = ::testing::Types<gatescan::recurrent, gatescan::scan>;
TYPED_TEST_SUITE(callers_threads, modes);

TYPED_TEST(callers_threads, give_the_same_bits) {
  const decays expected = decays::of({.threads = 3}, TypeParam{});
  int calls = 0;
  EXPECT_TRUE(expected ==
              decays::of({.threads = 3, .run = {&one_after_another, &calls}}, TypeParam{}));
  EXPECT_GT(calls, 1);
  Eigen::ThreadPool pool(3);
  for (const int threads : {2, 3, 8})
    EXPECT_TRUE(expected ==
                decays::of({.threads = threads, .run = {&on_eigens, &pool}}, TypeParam{}));
#if defined(GATESCAN_HAS_TBB)
  const auto on_tbbs = [](void*, int jobs, void (*job)(void*, int), void* data) {
    tbb::parallel_for(0, jobs, [=](int i) { job(data, i); });
  };
  EXPECT_TRUE(expected == decays::of({.threads = 4, .run = {on_tbbs}}, TypeParam{}));
#endif
}

#if defined(_OPENMP)
TYPED_TEST(callers_threads, are_in_no_region_of_openmp) {
  static std::atomic<int> levels;
  levels = 0;
  const auto watched = [](void*, int jobs, void (*job)(void*, int), void* data) {
    for (int i = 0; i < jobs; ++i) {
      levels += omp_get_level();
      job(data, i);
    }
  };
  decays::of({.threads = 4, .run = {watched}}, TypeParam{});
  EXPECT_EQ(levels, 0);
}
#endif

// ---- control words

#if defined(__SSE2__)
constexpr unsigned status_bits = 0x3f, round_up_bits = 0x4000, round_bits = 0x6000;

// Workers round as the thread that calls does, whatever they did before, and as before afterwards.
TEST(control_word, is_the_callers_in_every_worker_and_its_own_afterwards) {
  struct meeting {
    std::atomic<int> kept{0};
  } all;
  const auto on_threads_that_round_up = [](void* data, int jobs, void (*job)(void*, int),
                                           void* work) {
    std::vector<std::thread> threads;
    for (int i = 0; i < jobs; ++i)
      threads.emplace_back([=] {
        _mm_setcsr((_mm_getcsr() & ~round_bits) | round_up_bits);
        const unsigned own = _mm_getcsr() & ~status_bits;
        job(work, i);
        static_cast<meeting*>(data)->kept += (_mm_getcsr() & ~status_bits) == own;
      });
    for (std::thread& t : threads) t.join();
  };
  const cpu theirs{.threads = 4, .run = {on_threads_that_round_up, &all}};
  EXPECT_TRUE(decays::of({.threads = 1}, gatescan::recurrent{}) ==
              decays::of(theirs, gatescan::recurrent{}));
  EXPECT_GE(all.kept, 8);
}

TEST(control_word, of_the_caller_reaches_all_threads) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr((before & ~round_bits) | round_up_bits);
  const decays one = decays::of({.threads = 1}, gatescan::recurrent{});
  const decays many = decays::of({.threads = 4}, gatescan::recurrent{});
  _mm_setcsr(before);
  EXPECT_TRUE(one == many);
  EXPECT_NE(one.out, decays::of({.threads = 1}, gatescan::recurrent{}).out);
}
#endif

}  // namespace
