// When states come and go beside a piece: what needs none has run before, and what comes after the
// state's last number has not.
#include <gtest/gtest.h>

#include <gatescan/backends/cuda/pieces/piece_of_time.hpp>
#include <gatescan/modes/all.hpp>
#include <gatescan/recurrences/all.hpp>
#include <string>
#include <vector>

#include "../support/emulation/emulated_gpu.hpp"

namespace {

using gatescan::side;
using namespace gatescan::detail;
using T = gatescan::device<float>;

std::string& events() {
  static std::string all;
  return all;
}
struct noting_gpu : support::emulated_gpu {
  template <class Program>
  friend void launch(const noting_gpu& gpu, const Program& program) {
    events() += program.blocks() > 0 ? "p" : "";
    launch(static_cast<const support::emulated_gpu&>(gpu), program);
  }
};

const gatescan::neighbours both_sides{
    .before = true,
    .after = true,
    .receive =
        [](void*, side from, void* to, std::size_t bytes) {
          events() += from == side::before ? " [from before] " : " [from after] ";
          std::fill_n(static_cast<std::byte*>(to), bytes, std::byte{});
        },
    .send = [](void*, side to, const void*,
               std::size_t) { events() += to == side::before ? " [to before] " : " [to after] "; },
    .settle = [](void*) { events() += "."; }};

template <class R>
struct a_piece {
  std::vector<float> numbers = std::vector<float>(4096, -0.01f), results = numbers;
  problem_of<R, T> p{};

  explicit a_piece(std::initializer_list<gatescan::index_t> sizes) {
    const auto* n = sizes.begin();
    p.n = {1, 1, n[0], 1, n[1], n[2]};
    p.beside = &both_sides;
    R::operands([&](const char*, const gatescan::axes& a, gatescan::presence,
                    auto& x) { set(x, numbers.data(), a); },
                p.x);
  }
  template <class X, class N>
  void set(X& x, N* at, const gatescan::axes& a) const {
    using gatescan::axis;
    x.re = at, x.given = true;
    const bool values = a.has(axis::value) || a.has(axis::channel), keys = a.has(axis::key);
    x.value = values, x.key = keys ? (values ? p.n.values : 1) : 0;
    x.time = (keys ? p.n.keys : 1) * (values ? p.n.values : 1);
  }
  template <class Mode>
  std::string forward(const Mode& mode) {
    events().clear();
    forward_results<T> to;
    set(to.out, results.data(), R::out_axes);
    const auto how = mode.schedule_of(p.n, p.n.time, preferences_of(noting_gpu{}, p));
    std::vector<std::byte> scratch(piece_forward_bytes(noting_gpu{}, p, how));
    run_piece_forward(noting_gpu{}, p, to, how, scratch);
    return events();
  }
  template <class Mode>
  std::string backward(const Mode& mode) {
    events().clear();
    backward_results<R, T> r;
    set(r.out, numbers.data(), R::out_axes);
    float* next = results.data();
    R::operands(
        [&](const char*, const gatescan::axes& a, gatescan::presence, auto& x) {
          set(x, next, a);
          next += 512;
        },
        r.d);
    const auto how = mode.schedule_of(p.n, p.n.time, preferences_of(noting_gpu{}, p));
    std::vector<std::byte> scratch(piece_backward_bytes(noting_gpu{}, p, r, how));
    run_piece_backward(noting_gpu{}, p, r, how, scratch);
    return events();
  }
};

TEST(piece_of_time, matrix_states) {
  a_piece<gatescan::gla> piece({100, 2, 2});
  EXPECT_EQ(piece.forward(gatescan::chunked{}), "p [from before] p [to after] p.");
  EXPECT_EQ(piece.forward(gatescan::recurrent{}), " [from before] p [to after] .");
  // states for the neighbour after; then all that needs no gradient of a state
  const std::string back = piece.backward(gatescan::chunked{});
  const std::string begin = "p [from before] p [to after] ppp [from after] p [to before] p";
  EXPECT_EQ(back.substr(0, begin.size()), begin);
}

TEST(piece_of_time, diagonal_states) {
  a_piece<gatescan::elementwise> piece({100, 1, 5});
  EXPECT_EQ(piece.forward(gatescan::scan{3}), "p [from before] p [to after] p.");
  EXPECT_EQ(piece.backward(gatescan::scan{3}),
            "p [from before] p [to after] pppp [from after] p [to before] p.");
}

}  // namespace
