// A user's recurrences on a device: the same numbers as on the CPU, in every mode of their rung.
#include "../../examples/own_recurrences.hpp"
#include "../support/compare.hpp"
#include "../support/own_cell.hpp"
#include "device.hpp"

namespace {

using namespace support;
using numbers = std::vector<double>;
using gatescan::index_t;

constexpr index_t L = 45, H = 2, D = 7;

// Each: operands in order with their extents (B is filled in), the state's last, and who is who.
struct best_path_case {
  using recurrence = own::best_path;
  static std::vector<extents> shapes(index_t B, index_t n) {
    return {{B, L, H, D}, {B, L, H, D}, {n, H, D}};
  }
  template <class To, class From>
  static void give(To& to, From& from) {
    to.d = from[0], to.x = from[1], to.initial_state = from[2];
  }
};
struct rnn_case {
  using recurrence = own::rnn;
  static std::vector<extents> shapes(index_t B, index_t n) {
    return {{H, D}, {B, L, H, D}, {n, H, D}};
  }
  template <class To, class From>
  static void give(To& to, From& from) {
    to.w = from[0], to.x = from[1], to.initial_state = from[2];
  }
};
struct cell_case {
  using recurrence = own::cell;
  static std::vector<extents> shapes(index_t B, index_t n) {
    return {{B, L, H, D}, {D}, {n, H, 2, D}};
  }
  template <class To, class From>
  static void give(To& to, From& from) {
    to.x = from[0], to.scale = from[1], to.initial_state = from[2];
  }
};

template <class Case>
struct problem_of_case {
  using R = typename Case::recurrence;
  index_t B;
  std::vector<int64> offsets;
  std::vector<extents> shapes;
  std::vector<tensor<double>> x;

  problem_of_case(index_t batch, std::vector<int64> packed)
      : B(batch), offsets(std::move(packed)), shapes(Case::shapes(B, sequences())) {
    generator g(7);
    for (const extents& s : shapes) x.push_back(g.normals(s));
  }
  index_t sequences() const {
    return offsets.empty() ? B : static_cast<index_t>(offsets.size()) - 1;
  }
  template <class S>
  std::vector<stored<S>> stored_operands(unsigned char poison) const {
    std::vector<stored<S>> r;
    for (const extents& s : shapes) r.emplace_back(s, false, layouts::odd, poison);
    return r;
  }
  template <class T>
  auto inputs(std::vector<stored<gatescan::storage_t<T>>>& held) const {
    typename R::template inputs<T> in;
    Case::give(in, held);
    if (!offsets.empty())
      in.sequence_offsets = {offsets.data(), {static_cast<int64>(offsets.size())}};
    return in;
  }
  // out, final state, then the gradients
  template <class T, class Backend, class Mode>
  std::vector<tensor<double>> run(const Backend& backend, const Mode& mode) const {
    using S = gatescan::storage_t<T>;
    auto held = stored_operands<S>(poison_number);
    for (std::size_t i = 0; i < x.size(); ++i) held[i].write(x[i]);
    const auto in = inputs<T>(held);
    stored<S> out({B, L, H, D}, false, layouts::odd, poison_nan);
    stored<S> state(shapes.back(), false, layouts::odd, poison_nan);
    gatescan::forward(backend, mode, in, {.out = out, .final_state = state});

    generator g(8);
    stored<S> d_out({B, L, H, D}, false, layouts::odd, poison_number);
    stored<S> d_state(shapes.back(), false, layouts::odd, poison_number);
    d_out.write(g.normals({B, L, H, D}));
    d_state.write(g.normals(shapes.back()));
    auto made = stored_operands<S>(poison_nan);
    typename R::template gradients<T> d;
    Case::give(d, made);
    gatescan::backward(backend, mode, in, {.out = d_out, .final_state = d_state}, d);

    std::vector<tensor<double>> r(2);
    out.read(r[0]);
    state.read(r[1]);
    for (auto& m : made) {
      EXPECT_TRUE(m.guards_intact());
      r.emplace_back();
      m.read(r.back());
    }
    return r;
  }
};

template <class Case, class... Modes>
void check(const Modes&... modes) {
  for (const auto& packed : {std::vector<int64>{}, {0, 0, 17, 18, L}}) {
    const problem_of_case<Case> p(packed.empty() ? 3 : 1, packed);
    const auto want = p.template run<double>(gatescan::cpu{}, gatescan::recurrent{});
    const auto check_mode = [&](const auto& mode) {
      SCOPED_TRACE(mode.name);
      const auto got = p.template run<gatescan::device<double>>(emulated_gpu{}, mode);
      const auto rough = p.template run<gatescan::device<float>>(emulated_gpu{}, mode);
      for (std::size_t i = 0; i < want.size(); ++i) {
        EXPECT_LE(relative_rms(got[i], want[i], 0, 0), 1e-13) << i;
        EXPECT_LE(relative_rms(rough[i], want[i], 0, 0), 1e-5) << i;
      }
    };
    (check_mode(modes), ...);
  }
}

TEST(own_recurrence, an_associative_operator_on_a_device) {
  check<best_path_case>(gatescan::recurrent{}, gatescan::scan{}, gatescan::scan{5});
}
TEST(own_recurrence, a_step_on_a_device) { check<rnn_case>(gatescan::recurrent{}); }
TEST(own_recurrence, a_step_of_two_states_on_a_device) { check<cell_case>(gatescan::recurrent{}); }

// Streaming is the recurrent mode bit for bit.
TEST(own_recurrence, steps_on_a_device_are_the_recurrent_mode) {
  using T = gatescan::device<float>;
  const problem_of_case<rnn_case> p(2, {});
  auto held = p.stored_operands<float>(poison_number);
  for (std::size_t i = 0; i < p.x.size(); ++i) held[i].write(p.x[i]);
  const auto in = p.inputs<T>(held);
  stored<float> all({2, L, H, D}, false, layouts::dense, poison_nan);
  stored<float> end({2, H, D}, false, layouts::dense, poison_nan);
  gatescan::forward(emulated_gpu{}, gatescan::recurrent{}, in, {.out = all, .final_state = end});
  tensor<double> want, want_state, got, state;
  all.read(want);
  end.read(want_state);
  stored<float> h({2, H, D}, false, layouts::dense, poison_nan), out = h;
  h.write(p.x[2]);
  for (index_t t = 0; t < L; ++t) {
    auto token = in;
    token.x = {in.x.data + t * in.x.stride[1],
               {2, H, D},
               {in.x.stride[0], in.x.stride[2], in.x.stride[3]}};
    token.initial_state = {};
    gatescan::step(emulated_gpu{}, token, h, out);
    out.read(got);
    for (index_t b = 0; b < 2; ++b)
      for (index_t j = 0; j < H; ++j)
        for (index_t i = 0; i < D; ++i) ASSERT_EQ(got(b, j, i), want(b, t, j, i)) << t;
  }
  h.read(state);
  EXPECT_EQ(state.data, want_state.data);
}

// h_t = a_t h_{t-1} + gain x_t, and gain has a key
struct scaled : gatescan::channel_state<scaled>, gatescan::plain_output {
  static constexpr const char* name = "scaled";
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::entry};
  static constexpr bool unit_keys = true;

  template <class V>
  struct fields {
    using recurrence = scaled;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> a{}, x{}, gain{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  template <class F, class... S>
  static constexpr void operands(F&& f, S&&... s) {
    using gatescan::axes;
    using enum gatescan::axis;
    using enum gatescan::presence;
    f("a", axes{batch, time, head, value}, required, s.a...);
    f("x", axes{batch, time, head, value}, required, s.x...);
    f("gain", axes{head, key}, required, s.gain...);
  }
  template <class X, class At>
  static auto values(const X& x, const At& at) {
    return gatescan::value_of<decltype(at(x.x))>{at(x.gain) * at(x.x)};
  }
  template <class X, class At, class W>
  static auto gate(const X& x, const At& at, const W&) {
    return at(x.a);
  }
  template <class X, class D, class At, class W, class E>
  static void gate_adjoint(const X&, const D& d, const At& at, const W&, W&, E, E d_a) {
    at.add(d.a, d_a);
  }
  template <class X, class D, class At, class W>
  static void values_adjoint(const X& x, const D& d, const At& at, const W&, const W& d_w) {
    at.add(d.x, d_w.v * at(x.gain));
    at.add(d.gain, d_w.v * at(x.x));
  }
};
static_assert(gatescan::attention_form<scaled> && gatescan::differentiable<scaled>);

TEST(own_recurrence_device, values_of_a_channel_cannot_add_to_an_operand_with_keys) {
  std::vector<double> numbers_read(L * H * D, 0.5), d_a(L * H * D), d_gain(H);
  using read = gatescan::view<const double>;
  const read x(numbers_read.data(), {1, L, H, D});
  const scaled::inputs<gatescan::device<double>> in{
      x, x, read(numbers_read.data(), {H, 1}), {}, {}};
  const gatescan::view<double> a(d_a.data(), {1, L, H, D}), gain(d_gain.data(), {H, 1});
  gatescan::backward(emulated_gpu{}, gatescan::chunked{}, in, {.out = x}, {.a = a});
  try {
    gatescan::backward(emulated_gpu{}, gatescan::chunked{}, in, {.out = x}, {.gain = gain});
    FAIL() << "was not refused";
  } catch (const gatescan::shape_error& e) {
    EXPECT_NE(std::string(e.what()).find("gradient of gain"), std::string::npos) << e.what();
  }
}

}  // namespace
