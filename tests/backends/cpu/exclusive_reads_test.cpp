// Kernels of readout::exclusive, o_t = Re((S_{t-1} + own_t v_t^T)^T q_t), real and complex, token
// by token and by chunks, against plain loops in double: results and gradients.

#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <optional>
#include <random>
#include <vector>

#include <gatescan/backends/cpu/matrix/gates/key_gate/backward.hpp>
#include <gatescan/backends/cpu/matrix/gates/rotating_gate/forward.hpp>

namespace {

using gatescan::index_t;
namespace kernels = gatescan::detail;
using number = std::complex<double>;
using rows = std::vector<number>;
constexpr auto exclusive = gatescan::readout::exclusive;

struct shape {
  index_t tokens, keys, values;
};
std::size_t at(index_t row, index_t width, index_t column) {
  return static_cast<std::size_t>(row * width + column);
}

// Operands, or their gradients: q, k, a, own [token][key], v [token][value], s [key][value].
struct numbers {
  rows q, k, a, own, v, s;
};
struct results {
  rows o, s;
};

class problem {
 public:
  problem(const shape& n, bool complex) : n_(n), complex_(complex) {
    const index_t keys = n.tokens * n.keys, values = n.tokens * n.values;
    x = {random(keys), random(keys),  random(keys),
         random(keys), reals(values), random(n.keys * n.values)};
    for (number& a : x.a) a = std::polar(0.5 + 0.5 * std::abs(a.real()), complex ? a.imag() : 0.0);
    d = {reals(values), random(n.keys * n.values)};
  }
  void reset(index_t token) {
    for (index_t i = 0; i < n_.keys; ++i) x.a[at(token, n_.keys, i)] = 0;
  }

  numbers x;
  results d;  // gradients of results

  results forward() const {
    results r{rows(x.v.size()), x.s};
    for (index_t t = 0; t < n_.tokens; ++t) step(t, r.s, &r.o);
    return r;
  }
  numbers backward() const {
    std::vector<rows> states{x.s};  // before every token
    for (index_t t = 0; t + 1 < n_.tokens; ++t) {
      states.push_back(states.back());
      step(t, states.back(), nullptr);
    }
    const auto none = [](const rows& like) { return rows(like.size()); };
    numbers g{none(x.q), none(x.k), none(x.a), none(x.own), none(x.v), d.s};
    for (index_t t = n_.tokens - 1; t >= 0; --t)
      for (index_t i = 0; i < n_.keys; ++i) {
        const std::size_t key = at(t, n_.keys, i);
        for (index_t j = 0; j < n_.values; ++j) {
          const number v = x.v[at(t, n_.values, j)], d_o = d.o[at(t, n_.values, j)];
          const number before = states[static_cast<std::size_t>(t)][at(i, n_.values, j)];
          number& g_s = g.s[at(i, n_.values, j)];
          g.q[key] += std::conj(before + x.own[key] * v) * d_o;
          g.own[key] += std::conj(x.q[key]) * v * d_o;
          g.k[key] += g_s * v;
          g.a[key] += g_s * std::conj(before);
          g.v[at(t, n_.values, j)] +=
              (std::conj(x.k[key]) * g_s).real() + (x.q[key] * x.own[key]).real() * d_o;
          g_s =
              (x.a[key] == 0.0 ? number(0) : std::conj(x.a[key]) * g_s) + std::conj(x.q[key]) * d_o;
        }
      }
    return g;
  }

 private:
  void step(index_t t, rows& s, rows* o) const {
    for (index_t i = 0; i < n_.keys; ++i) {
      const std::size_t key = at(t, n_.keys, i);
      for (index_t j = 0; j < n_.values; ++j) {
        const number v = x.v[at(t, n_.values, j)];
        number& state = s[at(i, n_.values, j)];
        if (o) (*o)[at(t, n_.values, j)] += (x.q[key] * (state + x.own[key] * v)).real();
        state = (x.a[key] == 0.0 ? number(0) : x.a[key] * state) + x.k[key] * v;
      }
    }
  }
  rows random(index_t count) {
    std::uniform_real_distribution<double> in(-1, 1);
    rows some(static_cast<std::size_t>(count));
    for (number& e : some) e = {in(engine_), complex_ ? in(engine_) : 0.0};
    return some;
  }
  rows reals(index_t count) {
    rows some = random(count);
    for (number& e : some) e = e.real();
    return some;
  }

  shape n_;
  bool complex_;
  std::mt19937 engine_{5};
};

enum class by { steps, chunks };

// The kernels of one number format on numbers of a problem.
template <class C, bool IsComplex>
class machine {
 public:
  machine(const shape& n, by how) : n_(n), how_(how) {
    gatescan::arena measure;
    take(measure);
    memory_.assign(measure.bytes_needed(), std::byte{0xff});
    gatescan::arena memory(memory_);
    take(memory);
  }
  results forward(const numbers& x) {
    load(x);
    if (how_ == by::steps)
      steps_.forward(chunk(), next_);
    else
      gate_.forward(chunk(), next_);
    return {plane(tiles_.o, n_.tokens, n_.values, tiles_.n.value_pitch, 0), state(next_)};
  }
  // In a frame that turns with the state.
  results forward_rotating(const numbers& x) requires(IsComplex&& std::is_same_v<C, float>) {
    load(x);
    rotating_.forward(chunk(), next_);
    rotating_.frame().leave(tiles_.n, next_);
    return {plane(tiles_.o, n_.tokens, n_.values, tiles_.n.value_pitch, 0), state(next_)};
  }
  numbers backward(const numbers& x, const results& d) {
    load(x);
    store(gradients_.d_o, d.o, n_.tokens, n_.values, tiles_.n.value_pitch, 0, 0);
    store_state(d.s, next_);
    C* const g = how_ == by::steps ? steps_adjoint_.backward(chunk(), gradients_, next_)
                                   : gate_adjoint_.backward(chunk(), gradients_, next_);
    const auto keys = [&](const C* from) {
      return plane(from, n_.tokens, n_.keys, tiles_.n.rows, tiles_.n.key_pitch);
    };
    return {keys(gradients_.dq),
            keys(gradients_.dk),
            keys(gradients_.da),
            keys(gradients_.d_own),
            plane(gradients_.dv, n_.tokens, n_.values, tiles_.n.value_pitch, 0),
            state(g)};
  }

 private:
  static constexpr gatescan::recurrence_form form{.reads = exclusive};

  void take(gatescan::arena& memory) {
    const bool parts = how_ == by::chunks && (IsComplex || std::is_same_v<C, double>);
    const auto n = kernels::matrix_shape::of<C>(n_.keys, n_.values, IsComplex, parts);
    tiles_ = kernels::matrix_tiles<C>(memory, n, n_.tokens, form);
    gradients_ = kernels::matrix_gradients<C>(memory, n, n_.tokens, form);
    const index_t size = n.state_size() + kernels::rotating_frame<C>::size(n);
    state_ = memory.take<C>(size), next_ = memory.take<C>(size);
    gate_ = {memory, n, n_.tokens};
    gate_adjoint_ = {memory, n, n_.tokens, gate_};
    steps_adjoint_ = {memory, n, n_.tokens};
    if constexpr (IsComplex) rotating_ = {memory, n, gate_};
  }
  kernels::token_chunk<C> chunk() {
    keys_.emplace(tiles_);
    return {tiles_, n_.tokens, state_, &ahead_, &*keys_};
  }
  void load(const numbers& x) {
    const auto& n = tiles_.n;
    const auto keys = [&](C* to, const rows& from, C rest) {
      store(to, from, n_.tokens, n_.keys, n.rows, n.key_pitch, rest);
    };
    keys(tiles_.q, x.q, 0), keys(tiles_.k, x.k, 0), keys(tiles_.own, x.own, 0);
    keys(tiles_.a, x.a, 1);
    store(tiles_.v, x.v, n_.tokens, n_.values, n.value_pitch, 0, 0);
    kernels::fill(state_, n.state_size() + kernels::rotating_frame<C>::size(n), C(0));
    store_state(x.s, state_);
  }
  // Rows of `width` numbers, `pitch` apart, imaginary parts `im` further; `rest` beside them.
  static void store(C* to, const rows& from, index_t count, index_t width, index_t pitch,
                    index_t im, C rest) {
    for (index_t t = 0; t < count; ++t)
      for (index_t i = 0; i < pitch; ++i)
        to[t * pitch + i] = IsComplex && im > 0 && i >= im ? C(0) : rest;
    put(to, from, count, width, pitch, im);
  }
  static void put(C* to, const rows& from, index_t count, index_t width, index_t pitch,
                  index_t im) {
    for (index_t t = 0; t < count; ++t)
      for (index_t i = 0; i < width; ++i) {
        to[t * pitch + i] = static_cast<C>(from[at(t, width, i)].real());
        if (IsComplex && im > 0)
          to[t * pitch + im + i] = static_cast<C>(from[at(t, width, i)].imag());
      }
  }
  static rows plane(const C* from, index_t count, index_t width, index_t pitch, index_t im) {
    rows x;
    for (index_t t = 0; t < count; ++t)
      for (index_t i = 0; i < width; ++i)
        x.emplace_back(from[t * pitch + i], IsComplex && im > 0 ? from[t * pitch + im + i] : C(0));
    return x;
  }
  void store_state(const rows& from, C* to) const {
    kernels::fill(to, tiles_.n.state_size(), C(0));
    put(to, from, n_.keys, n_.values, tiles_.n.state_pitch, im_of_state());
  }
  rows state(const C* from) const {
    return plane(from, n_.keys, n_.values, tiles_.n.state_pitch, im_of_state());
  }
  index_t im_of_state() const { return tiles_.n.key_pitch * tiles_.n.state_pitch; }

  shape n_;
  by how_;
  std::vector<std::byte> memory_;
  kernels::matrix_tiles<C> tiles_{};
  kernels::matrix_gradients<C> gradients_{};
  C *state_ = nullptr, *next_ = nullptr;
  std::optional<kernels::keys_in_tiles<C, IsComplex, exclusive>> keys_;
  kernels::token_steps<C, IsComplex, exclusive> steps_{};
  kernels::token_steps_adjoint<C, IsComplex, exclusive> steps_adjoint_{};
  kernels::key_gate<C, IsComplex, exclusive> gate_{};
  kernels::key_gate_adjoint<C, IsComplex, exclusive> gate_adjoint_{};
  kernels::rotating_gate<C, exclusive> rotating_{};
  kernels::prefetcher ahead_{};
};

double largest_of(std::initializer_list<const rows*> all) {
  double largest = 0;
  for (const rows* x : all)
    for (const number& e : *x)
      if (std::isfinite(std::abs(e))) largest = std::max(largest, std::abs(e));
  return largest;
}
void expect_near(const char* what, const rows& got, const rows& want, double limit) {
  ASSERT_EQ(got.size(), want.size()) << what;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const bool finite = std::isfinite(std::abs(want[i]));
    ASSERT_EQ(std::isfinite(std::abs(got[i])), finite) << what << " " << i;
    if (finite) {
      ASSERT_LE(std::abs(got[i] - want[i]), limit) << what << " " << i;
    }
  }
}
void expect_near(const results& got, const results& want, double relative) {
  const double limit = relative * largest_of({&want.o, &want.s});
  expect_near("o", got.o, want.o, limit), expect_near("state", got.s, want.s, limit);
}
void expect_near(const numbers& got, const numbers& want, double relative) {
  const double limit =
      relative * largest_of({&want.q, &want.k, &want.a, &want.own, &want.v, &want.s});
  expect_near("dq", got.q, want.q, limit), expect_near("dk", got.k, want.k, limit);
  expect_near("da", got.a, want.a, limit), expect_near("d own", got.own, want.own, limit);
  expect_near("dv", got.v, want.v, limit), expect_near("ds", got.s, want.s, limit);
}

template <class Format>
class exclusive_reads : public testing::Test {};
template <class T, bool Complex>
struct format {
  using C = T;
  static constexpr bool complex = Complex;
  static constexpr double bound = std::is_same_v<T, float> ? 3e-6 : 1e-14;
};
using formats = testing::Types<format<float, false>, format<double, false>, format<float, true>,
                               format<double, true>>;
TYPED_TEST_SUITE(exclusive_reads, formats);

template <class Format, class F>
void for_each_case(F&& f) {
  for (const index_t tokens : {1, 3, 4, 15, 16, 17, 33, 50})
    for (const auto& [keys, values] : {std::pair{1, 1}, {3, 5}, {16, 8}, {20, 19}})
      f(shape{tokens, keys, values});
}

TYPED_TEST(exclusive_reads, results_and_gradients) {
  using C = typename TypeParam::C;
  for_each_case<TypeParam>([](const shape& n) {
    const problem p(n, TypeParam::complex);
    for (const by how : {by::steps, by::chunks}) {
      SCOPED_TRACE(testing::Message() << "tokens " << n.tokens << " keys " << n.keys << " values "
                                      << n.values << (how == by::steps ? " steps" : " chunks"));
      machine<C, TypeParam::complex> m(n, how);
      expect_near(m.forward(p.x), p.forward(), TypeParam::bound);
      expect_near(m.backward(p.x, p.d), p.backward(), TypeParam::bound);
      if constexpr (TypeParam::complex && std::is_same_v<C, float>)
        if (how == by::chunks) expect_near(m.forward_rotating(p.x), p.forward(), TypeParam::bound);
    }
  });
}

// A token reads the state before its own gate resets it; after that nothing of it is left.
TYPED_TEST(exclusive_reads, a_reset_comes_after_the_read) {
  using C = typename TypeParam::C;
  const shape n{37, 5, 3};
  problem p(n, TypeParam::complex);
  p.reset(20);
  p.x.s[0] = std::numeric_limits<double>::infinity();
  p.x.s[4] = std::numeric_limits<double>::quiet_NaN();
  for (const by how : {by::steps, by::chunks}) {
    const results got = machine<C, TypeParam::complex>(n, how).forward(p.x), want = p.forward();
    for (index_t t = 0; t < n.tokens; ++t)
      for (index_t j = 0; j < n.values; ++j) {
        const std::size_t i = at(t, n.values, j);
        const bool finite = t > 20 || j == 2;
        EXPECT_EQ(std::isfinite(std::abs(got.o[i])), finite) << "token " << t << ", value " << j;
        if (finite) {
          EXPECT_NEAR(got.o[i].real(), want.o[i].real(), 1e2 * TypeParam::bound);
        }
      }
  }
}

}  // namespace
