// A stepper promises: the bits of recurrent mode, token after token in the same memory; no call
// allocates, and none writes behind its workspace; what does not fit is refused when it is made,
// before anything is written.

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "../support/own_cell.hpp"
#include "dense_problem.hpp"

namespace {
std::atomic<long> allocations{0};
}
// Not inlined, or the compiler takes the malloc in one for a mistake in the other.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* p = std::malloc(size)) return p;
  throw std::bad_alloc{};
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace support;
using gatescan::axes, gatescan::axis, gatescan::cpu, gatescan::layout, gatescan::stepper,
    gatescan::view;

layout without_time(const axes& a, const gatescan::sizes& n) {
  const layout whole = layout_of(a, n);
  layout rest;
  for (int i = 0; i < a.rank; ++i)
    if (a.of[i] != axis::time) rest.shape[rest.rank++] = whole.shape[i];
  std::int64_t step = 1;
  for (int i = rest.rank - 1; i >= 0; --i) rest.stride[i] = step, step *= rest.shape[i];
  return rest;
}

// A problem's tokens, one at a time in the same memory.
template <class R>
struct one_token {
  explicit one_token(dense_problem<R>& p) : whole(p), token(p.in) {
    token.initial_state = {};
    R::operands(
        [&](const char* name, const axes& a, gatescan::presence, auto& x) {
          if (x.given() && a.has(axis::time)) whole.place(memory_name(name), without_time(a), x);
        },
        token);
    whole.place("token_out", without_time(R::out_axes), out);
    for_each_part([&](const char* part, const axes& a, auto& x) {
      const std::string name = part_name("state", part);
      whole.place(name, layout_of(a, whole.n), x);
      const std::vector<double>& initial = whole.memory[part_name("initial_state", part)];
      std::copy(initial.begin(), initial.end(), whole.memory[name].begin());
    });
  }

  // f(name or null, axes, part of the state)
  template <class F>
  void for_each_part(F&& f) {
    gatescan::detail::for_each_part<R>(
        [&](gatescan::state_part, const char* part, const axes& a, auto& x) { f(part, a, x); },
        state);
  }
  // Numbers of token t between where all tokens lie and where this one does.
  void read(std::int64_t t) {
    R::operands(
        [&](const char* name, const axes& a, gatescan::presence, const auto& x) {
          if (x.given() && a.has(axis::time))
            copy(a, t, whole.memory[name], whole.memory[memory_name(name)], true);
        },
        token);
  }
  std::vector<double> out_in_place(std::vector<double> all, std::int64_t t) {
    copy(R::out_axes, t, all, whole.memory["token_out"], false);
    return all;
  }

  dense_problem<R>& whole;
  typename R::template token<double> token;
  typename R::template state<double> state{};
  typename R::template token_out<double> out{};

 private:
  static std::string memory_name(const char* name) { return std::string("token_") + name; }
  layout without_time(const axes& a) const { return ::without_time(a, whole.n); }
  void copy(const axes& a, std::int64_t t, std::vector<double>& all, std::vector<double>& one,
            bool to_one) const {
    const layout every = layout_of(a, whole.n), single = without_time(a);
    std::int64_t outer = 1, inner = 1;
    bool before = true;
    for (int i = 0; i < a.rank; ++i) {
      if (a.of[i] == axis::time)
        before = false;
      else
        (before ? outer : inner) *= every.shape[i];
    }
    for (int plane = 0; plane < (whole.planes ? 2 : 1); ++plane)
      for (std::int64_t o = 0; o < outer; ++o)
        for (std::int64_t i = 0; i < inner; ++i) {
          const auto at = plane * every.size() + (o * whole.n.time + t) * inner + i;
          const auto here = plane * single.size() + o * inner + i;
          double &x = all[static_cast<std::size_t>(at)], &y = one[static_cast<std::size_t>(here)];
          (to_one ? y = x : x = y);
        }
  }
};

template <class R>
class steppers : public ::testing::Test {};
using recurrences = every_recurrence_and<own::tied, own::best_path, own::rnn, own::cell>;
TYPED_TEST_SUITE(steppers, recurrences);

template <class R>
void check_steps(const gatescan::sizes& n, int threads) {
  SCOPED_TRACE(::testing::Message()
               << n.keys << " keys, " << n.values << " values, " << threads << " threads");
  dense_problem<R> p(n);
  gatescan::forward(cpu{.threads = 1}, gatescan::recurrent{}, p.in, p.out);
  one_token<R> token(p);
  stepper next{cpu{.threads = threads}, token.token, token.state, token.out};
  std::vector<double> out(p.memory["out"].size(), untouched);
  for (std::int64_t t = 0; t < p.n.time; ++t) {
    token.read(t);
    next.step();
    out = token.out_in_place(out, t);
  }
  EXPECT_EQ(out, p.memory["out"]);
  token.for_each_part([&](const char* part, const axes& a, const auto&) {
    const auto numbers = static_cast<std::ptrdiff_t>(layout_of(a, p.n).size()) * (p.planes ? 2 : 1);
    const auto state = p.memory[part_name("state", part)].begin(),
               want = p.memory[part_name("final_state", part)].begin();
    EXPECT_TRUE(std::equal(state, state + numbers, want)) << part_name("state", part);
  });
}

TYPED_TEST(steppers, take_a_sequence_bit_for_bit_as_recurrent_mode) {
  for (const int threads : {1, 3})
    for (const gatescan::sizes& n : {gatescan::sizes{2, 2, 20, 4, 3, 5}, {1, 1, 9, 2, 16, 32}})
      check_steps<TypeParam>(n, threads);
}
TEST(steppers, of_one_key_and_one_value) { check_steps<gatescan::gateloop>({2, 2, 9, 5, 1, 1}, 1); }

// Memory may start anywhere in a cache line, and as many bytes as were asked for are enough.
template <class R>
void check_memory(const gatescan::sizes& n, int threads) {
  dense_problem<R> p(n);
  one_token<R> token(p);
  const cpu backend{.threads = threads};
  std::size_t bytes = 0;
  try {
    std::byte none{};
    stepper{backend, token.token, token.state, token.out, {{&none, 1}}};
  } catch (const gatescan::workspace_error& error) {
    bytes = std::stoul(
        std::string(error.what()).substr(std::string("workspace: expected at least ").size()));
  }
  ASSERT_GT(bytes, 0u);
  stepper own{backend, token.token, token.state, token.out};
  own.step();
#if defined(_OPENMP)
  const bool counts = true;
#else
  const bool counts = threads == 1;  // the pool is made once
#endif
  constexpr std::size_t guard = 128;
  std::vector<std::byte> memory(bytes + 2 * guard);
  for (std::size_t start = 0; start < 64; ++start) {
    std::fill(memory.begin(), memory.end(), std::byte{0xff});
    stepper lent{backend, token.token, token.state, token.out, {{memory.data() + start, bytes}}};
    const long before = allocations;
    own.step(), lent.step();
    if (counts) {
      ASSERT_EQ(allocations, before);
    }
    for (std::size_t i = 0; i < start; ++i) ASSERT_EQ(memory[i], std::byte{0xff}) << start;
    for (std::size_t i = start + bytes; i < memory.size(); ++i)
      ASSERT_EQ(memory[i], std::byte{0xff}) << start << " " << i;
  }
}
TYPED_TEST(steppers, allocate_nothing_and_stay_in_their_workspace) {
  for (const int threads : {1, 3}) check_memory<TypeParam>({2, 2, 20, 4, 3, 5}, threads);
}
TEST(steppers, of_one_key_and_one_value_stay_in_their_workspace) {
  check_memory<gatescan::gateloop>({2, 2, 9, 5, 1, 1}, 1);
}

// What fits the verb fits the stepper: their errors are the same sentence.
TEST(steppers, refuse_when_they_are_made) {
  using gatescan::gla;
  dense_problem<gla> p;
  one_token<gla> good(p);
  const auto state_before = p.memory["state"], out_before = p.memory["token_out"];
  const auto check = [&](const gla::token<double>& token, const view<double>& state,
                         const view<double>& out, const std::string& sentence) {
    EXPECT_EQ(refusal([&] { stepper{cpu{}, token, state, out}; }), sentence);
    EXPECT_EQ(refusal([&] { gatescan::step(cpu{}, token, state, out); }), sentence);
    EXPECT_EQ(p.memory["state"], state_before);
    EXPECT_EQ(p.memory["token_out"], out_before);
  };
  check(good.token, {}, good.out, "state: expected [sequences, heads, keys, values], got nothing");
  check(good.token, good.state, {good.out.data, {2, 5, 4}},
        "out: expected [batch, heads, values] = [2, 4, 5], got [2, 5, 4]");
  check(good.token, good.state, {good.state.data, {2, 4, 5}},
        "out: expected memory apart from final_state, got views that overlap");
  auto token = good.token;
  token.k.shape[2] = 2;
  check(token, good.state, good.out,
        "k: expected [batch, heads, keys] = [2, 4, 3] (heads may be a divisor) as in q, "
        "got [2, 4, 2]");
  token = good.token;
  token.q = {};
  check(token, good.state, good.out, "q: expected [batch, heads, keys], got nothing");
  token = good.token;
  token.initial_state = good.state;
  check(token, good.state, good.out, "initial_state: expected none beside step's state, got one");
}

}  // namespace
