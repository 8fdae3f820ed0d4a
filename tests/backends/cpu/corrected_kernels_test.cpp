// The kernels of the corrected transition against plain loops in double: both forms, forward and
// backward, every width of registers and length of blocks, gates of 0 and states that are not
// finite.

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <complex>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gatescan/backends/cpu/matrix/gates/corrected/backward.hpp>

#include "support/corrected_loops.hpp"
#include "support/generate.hpp"

namespace {

using gatescan::index_t;
using gatescan::transition;
using gatescan::detail::matrix_gradients;
using gatescan::detail::matrix_shape;
using gatescan::detail::matrix_tiles;
namespace kernels = gatescan::detail;
using support::corrected::backward;
using support::corrected::forward;
using support::corrected::numbers;
using support::corrected::results;
using support::corrected::shape;

enum class gates_are { mild, zero_for_single_keys, resets, negative };
constexpr std::array all_gates{gates_are::mild, gates_are::zero_for_single_keys, gates_are::resets,
                               gates_are::negative};

// ---- operands

class operands {
 public:
  operands(const shape& n, gates_are gates, double beta, std::uint64_t seed)
      : n_(n), random_(seed), gates_(gates) {
    const index_t keys = n.keys * n.tokens;
    x.q = normal(keys), x.k = normal(keys), x.v = normal(n.tokens * n.values);
    x.s = normal(n.keys * n.values);
    const std::vector<double> common = normal(n.keys);
    for (index_t t = 0; t < n.tokens; ++t) {  // unit keys, with a large beta alike
      double size = 0;
      for (index_t i = 0; i < n.keys; ++i) {
        double& k = x.k[static_cast<std::size_t>(t * n.keys + i)];
        if (beta > 1) k = common[static_cast<std::size_t>(i)] + 0.05 * k;
        size += k * k;
      }
      const double b = beta > 1 ? beta : beta * random_.uniform();
      for (index_t i = 0; i < n.keys; ++i) {
        const auto at = static_cast<std::size_t>(t * n.keys + i);
        x.k[at] /= std::sqrt(size);
        x.p.push_back(b * x.k[at]);
        x.a.push_back(gate(t));
      }
    }
    d.o = normal(n.tokens * n.values), d.s = normal(n.keys * n.values);
  }

  numbers<double> x;
  results<double> d;

 private:
  std::vector<double> normal(index_t count) {
    std::vector<double> y(static_cast<std::size_t>(count));
    for (double& e : y) e = random_.normal();
    return y;
  }
  double gate(index_t t) {
    const double mild = 1 / (1 + std::exp(-3 * random_.normal()));
    if (gates_ == gates_are::negative) return random_.coin() ? mild : -mild;
    if (gates_ == gates_are::zero_for_single_keys) return random_.coin(0.2) ? 0 : mild;
    if (gates_ == gates_are::resets) return t % 11 == n_.tokens / 2 % 11 ? 0 : mild;
    return mild;
  }

  shape n_;
  support::generator random_;
  gates_are gates_;
};

// Rounded as the kernels read them.
template <class C>
void round_to(std::vector<double>& x) {
  for (double& e : x) e = static_cast<double>(static_cast<C>(e));
}
template <class C>
void round_to(operands& of) {
  for (auto* x : {&of.x.q, &of.x.p, &of.x.k, &of.x.a, &of.x.v, &of.x.s, &of.d.o, &of.d.s})
    round_to<C>(*x);
}

// ---- the kernels, on memory that is NaN where nothing was written

template <class C>
class machine {
 public:
  machine(const shape& n, bool chunks) : n_(n) {
    gatescan::arena measure;
    take(measure, chunks);
    memory_.assign(measure.bytes_needed(), std::byte{0xff});
    gatescan::arena memory(memory_);
    take(memory, chunks);
  }

  results<double> forward(const numbers<double>& x) {
    load(x);
    if (chunks_)
      chunk_.forward(chunk(), next_);
    else
      steps_forward();
    return {rows(tiles_.o, n_.values, tiles_.n.value_pitch), state(next_)};
  }
  // The state alone, without queries.
  std::vector<double> advance(const numbers<double>& x) {
    load(x);
    kernels::fill(tiles_.q, n_.tokens * tiles_.n.rows, std::numeric_limits<C>::quiet_NaN());
    chunk_.advance(chunk(), next_);
    return state(next_);
  }
  numbers<double> backward(const numbers<double>& x, const results<double>& d) {
    kernels::token_chunk<C> c = chunk();
    if (chunks_) {  // on the way to the last state U is kept
      load(x);
      chunk_.advance(c, nullptr);
      c.written = chunk_.u();
    }
    load(x);
    store_rows(gradients_.d_o, n_.values, tiles_.n.value_pitch, d.o, n_.tokens);
    store_state(d.s, next_);
    C* const g = chunks_ ? chunk_adjoint_.backward(c, gradients_, next_)
                         : steps_adjoint_.backward(chunk(), gradients_, next_);
    const auto keys = [&](const C* from) { return rows(from, n_.keys, tiles_.n.rows); };
    return {keys(gradients_.dq),
            keys(gradients_.dp),
            keys(gradients_.dk),
            keys(gradients_.da),
            rows(gradients_.dv, n_.values, tiles_.n.value_pitch),
            state(g)};
  }

 private:
  void take(gatescan::arena& memory, bool chunks) {
    chunks_ = chunks;
    const bool low_parts = chunks && std::is_same_v<C, double>;
    const matrix_shape n = matrix_shape::of<C>(n_.keys, n_.values, false, low_parts);
    tiles_ = matrix_tiles<C>(memory, n, n_.tokens, {.moves = transition::corrected});
    gradients_ = matrix_gradients<C>(memory, n, n_.tokens, {.moves = transition::corrected});
    state_ = memory.take<C>(n.state_size()), next_ = memory.take<C>(n.state_size());
    chunk_ = kernels::corrected_gate<C, transition::corrected>(memory, n, n_.tokens);
    chunk_adjoint_ =
        kernels::corrected_gate_adjoint<C, transition::corrected>(memory, n, n_.tokens, chunk_);
    steps_adjoint_ =
        kernels::corrected_token_steps_adjoint<C, transition::corrected>(memory, n, n_.tokens);
  }
  kernels::token_chunk<C> chunk() { return {tiles_, n_.tokens, state_, &ahead_}; }
  // In two pieces: a state that streams is the same.
  void steps_forward() {
    const index_t half = n_.tokens / 2;
    matrix_tiles<C> rest = tiles_;
    rest.q += half * rest.n.rows, rest.p += half * rest.n.rows, rest.k += half * rest.n.rows;
    rest.a += half * rest.n.rows;
    rest.v += half * rest.n.value_pitch, rest.o += half * rest.n.value_pitch;
    kernels::corrected_token_steps<C, transition::corrected> steps;
    steps.forward({tiles_, half, state_, &ahead_}, next_);
    steps.forward({rest, n_.tokens - half, next_, &ahead_}, next_);
  }
  void load(const numbers<double>& x) {
    const matrix_shape& n = tiles_.n;
    const auto keys = [&](C* to, const std::vector<double>& from, C rest) {
      kernels::fill(to, n_.tokens * n.rows, rest);
      store_rows(to, n_.keys, n.rows, from, n_.tokens, false);
    };
    keys(tiles_.q, x.q, 0), keys(tiles_.p, x.p, 0), keys(tiles_.k, x.k, 0), keys(tiles_.a, x.a, 1);
    store_rows(tiles_.v, n_.values, n.value_pitch, x.v, n_.tokens);
    store_state(x.s, state_);
  }
  static void store_rows(C* to, index_t width, index_t pitch, const std::vector<double>& from,
                         index_t count, bool clears = true) {
    if (clears) kernels::fill(to, count * pitch, C(0));
    for (index_t t = 0; t < count; ++t)
      for (index_t i = 0; i < width; ++i)
        to[t * pitch + i] = static_cast<C>(from[static_cast<std::size_t>(t * width + i)]);
  }
  std::vector<double> rows(const C* from, index_t width, index_t pitch) const {
    return rows(from, width, pitch, n_.tokens);
  }
  static std::vector<double> rows(const C* from, index_t width, index_t pitch, index_t count) {
    std::vector<double> to;
    for (index_t t = 0; t < count; ++t)
      for (index_t i = 0; i < width; ++i) to.push_back(static_cast<double>(from[t * pitch + i]));
    return to;
  }
  void store_state(const std::vector<double>& from, C* to) const {
    kernels::fill(to, tiles_.n.state_size(), C(0));
    store_rows(to, n_.values, tiles_.n.state_pitch, from, n_.keys, false);
  }
  std::vector<double> state(const C* from) const {
    return rows(from, n_.values, tiles_.n.state_pitch, n_.keys);
  }

  shape n_;
  bool chunks_ = false;
  std::vector<std::byte> memory_;
  matrix_tiles<C> tiles_{};
  matrix_gradients<C> gradients_{};
  C *state_ = nullptr, *next_ = nullptr;
  kernels::corrected_gate<C, transition::corrected> chunk_{};
  kernels::corrected_gate_adjoint<C, transition::corrected> chunk_adjoint_{};
  kernels::corrected_token_steps_adjoint<C, transition::corrected> steps_adjoint_{};
  kernels::prefetcher ahead_{};
};

// ---- comparisons

template <class C>
constexpr double bound = std::is_same_v<C, float> ? 2e-6 : 1e-13;

double largest_of(std::initializer_list<const std::vector<double>*> all) {
  double largest = 0;
  for (const auto* x : all)
    for (const double e : *x)
      if (std::isfinite(e)) largest = std::max(largest, std::abs(e));
  return largest;
}
// Within `limit`, and finite where those that are wanted are and nowhere else.
void expect_near(const char* name, const std::vector<double>& got, const std::vector<double>& want,
                 double limit) {
  ASSERT_EQ(got.size(), want.size()) << name;
  double worst = 0;
  std::size_t other = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (std::isfinite(got[i]) != std::isfinite(want[i]))
      ++other;
    else if (std::isfinite(got[i]))
      worst = std::max(worst, std::abs(got[i] - want[i]));
  }
  EXPECT_LE(worst, limit) << name;
  EXPECT_EQ(other, 0u) << name << ": numbers finite or not where they should not be";
}
// Relative to the largest of all results: with few keys or tokens one of them can be the small
// difference of terms as large as the others.
void expect_near(const results<double>& got, const results<double>& want, double relative) {
  const double limit = relative * largest_of({&want.o, &want.s});
  expect_near("o", got.o, want.o, limit);
  expect_near("state", got.s, want.s, limit);
}
void expect_near(const numbers<double>& got, const numbers<double>& want, double relative) {
  const double limit =
      relative * largest_of({&want.q, &want.p, &want.k, &want.a, &want.v, &want.s});
  expect_near("dq", got.q, want.q, limit);
  expect_near("dp", got.p, want.p, limit);
  expect_near("dk", got.k, want.k, limit);
  expect_near("da", got.a, want.a, limit);
  expect_near("dv", got.v, want.v, limit);
  expect_near("gradient of the state", got.s, want.s, limit);
}

template <class F>
void for_each_shape(F&& f) {
  for (const index_t keys : {1, 3, 16, 20, 128})
    for (const index_t values : {1, 3, 16, 20, 128})
      for (const index_t tokens : {1, 2, 4, 5, 16, 17, 33, 64}) {
        SCOPED_TRACE("K " + std::to_string(keys) + ", V " + std::to_string(values) + ", tokens " +
                     std::to_string(tokens));
        f(shape{keys, values, tokens});
      }
}

template <class C>
class corrected_kernels : public testing::Test {
 protected:
  static void expect_agreement(const shape& n, operands of) {
    round_to<C>(of);
    const results<double> want = forward(n, of.x);
    const numbers<double> gradients = backward(n, of.x, of.d);
    for (const bool chunks : {false, true}) {
      SCOPED_TRACE(chunks ? "chunk" : "steps");
      machine<C> run(n, chunks);
      expect_near(run.forward(of.x), want, bound<C>);
      if (chunks) expect_near({want.o, run.advance(of.x)}, want, bound<C>);
      expect_near(run.backward(of.x, of.d), gradients, bound<C>);
    }
  }
};
using number_types = testing::Types<float, double>;
TYPED_TEST_SUITE(corrected_kernels, number_types);

TYPED_TEST(corrected_kernels, agree_with_plain_loops) {
  for (const gates_are gates : all_gates)
    for_each_shape([&](const shape& n) {
      SCOPED_TRACE("gates " + std::to_string(static_cast<int>(gates)));
      this->expect_agreement(n, operands(n, gates, 1, 7));
    });
}

TYPED_TEST(corrected_kernels, solve_what_a_series_would_not) {
  for_each_shape(
      [&](const shape& n) { this->expect_agreement(n, operands(n, gates_are::mild, 2, 8)); });
}

TYPED_TEST(corrected_kernels, select_nothing_of_a_state_that_is_reset) {
  for_each_shape([&](const shape& n) {
    operands of(n, gates_are::resets, 1, 9);
    of.x.s.front() = std::numeric_limits<double>::infinity();
    of.x.s.back() = std::numeric_limits<double>::quiet_NaN();
    this->expect_agreement(n, of);
  });
}

TYPED_TEST(corrected_kernels, keep_what_is_not_finite_in_its_column_and_its_future) {
  for (const index_t tokens : {5, 17, 64}) {
    const shape n{16, 20, tokens};
    operands of(n, gates_are::mild, 1, 10);
    of.x.v[static_cast<std::size_t>((tokens - 2) * n.values + 3)] =
        std::numeric_limits<double>::quiet_NaN();
    this->expect_agreement(n, of);
  }
}

TYPED_TEST(corrected_kernels, are_exact_where_arithmetic_is) {
  for (const index_t keys : {1, 3, 16})
    for (const index_t tokens : {1, 4, 5, 17, 33}) {
      const shape n{keys, 20, tokens};
      support::generator random(11);
      numbers<double> x;
      const auto integers = [&](index_t count, index_t most) {
        std::vector<double> y(static_cast<std::size_t>(count));
        for (double& e : y) e = static_cast<double>(random.between(-most, most));
        return y;
      };
      x.q = integers(tokens * keys, 1), x.v = integers(tokens * n.values, 2);
      x.a = integers(tokens * keys, 1), x.s = integers(keys * n.values, 2);
      x.k.assign(x.q.size(), 0), x.p.assign(x.q.size(), 0);
      for (index_t t = 0; t < tokens; ++t) {  // one key a token: numbers stay small
        const auto at = static_cast<std::size_t>(t * keys + random.below(keys));
        x.k[at] = 1, x.p[at] = static_cast<double>(random.between(0, 2));
      }
      const results<double> want = forward(n, x);
      const results<double> d{integers(tokens * n.values, 1), integers(keys * n.values, 1)};
      const numbers<double> gradients = backward(n, x, d);
      for (const bool chunks : {false, true}) {
        machine<TypeParam> run(n, chunks);
        expect_near(run.forward(x), want, 0);
        expect_near(run.backward(x, d), gradients, 0);
      }
    }
}

TEST(corrected_loops, have_the_gradients_of_a_complex_step) {
  const shape n{4, 3, 11};
  const operands of(n, gates_are::zero_for_single_keys, 2, 12);
  const numbers<double> gradients = backward(n, of.x, of.d);
  using complex = std::complex<double>;
  const auto as_complex = [](const std::vector<double>& x) {
    return std::vector<complex>(x.begin(), x.end());
  };
  const auto check = [&](const char* name, auto member) {
    const std::vector<double>& want = gradients.*member.first;
    for (std::size_t i = 0; i < want.size(); i += 5) {
      numbers<complex> x{as_complex(of.x.q), as_complex(of.x.p), as_complex(of.x.k),
                         as_complex(of.x.a), as_complex(of.x.v), as_complex(of.x.s)};
      if (member.second == &numbers<complex>::a && of.x.a[i] == 0) continue;  // a select there
      (x.*member.second)[i] += complex(0, 1e-30);
      const results<complex> y = forward(n, x);
      double slope = 0;
      for (std::size_t j = 0; j < y.o.size(); ++j) slope += of.d.o[j] * y.o[j].imag() / 1e-30;
      for (std::size_t j = 0; j < y.s.size(); ++j) slope += of.d.s[j] * y.s[j].imag() / 1e-30;
      EXPECT_NEAR(slope, want[i], 1e-12 * (1 + std::abs(want[i]))) << name << " " << i;
    }
  };
  check("q", std::pair(&numbers<double>::q, &numbers<complex>::q));
  check("p", std::pair(&numbers<double>::p, &numbers<complex>::p));
  check("k", std::pair(&numbers<double>::k, &numbers<complex>::k));
  check("a", std::pair(&numbers<double>::a, &numbers<complex>::a));
  check("v", std::pair(&numbers<double>::v, &numbers<complex>::v));
  check("s", std::pair(&numbers<double>::s, &numbers<complex>::s));
}

}  // namespace
