// A recurrence of a user's own operator over ranks.
#pragma once

#include <type_traits>

#include "../../examples/own_recurrences.hpp"
#include "over_ranks.hpp"

namespace {

// A recurrence of a user's own operator, whose gradients of states have no summary; exact numbers.
template <class T, class Backend>
void expect_best_path(const Backend& backend) {
  using R = own::best_path;
  using vector = std::vector<double>;
  const int64 L = 41, D = 3;
  const pieces cut = random_pieces(L, 5);
  generator g(6);
  vector d, x, state, grad, grad_state;
  const auto fill = [&g](vector& to, int64 n) {
    while (static_cast<int64>(to.size()) < n) to.push_back(static_cast<double>(g.between(-9, 9)));
  };
  fill(d, L * D), fill(x, L * D), fill(grad, L * D), fill(state, D), fill(grad_state, D);
  struct found {
    vector out, state, d, x, d_state;
  };
  const auto run = [&]<class F>(std::type_identity<F>, const auto& where, const auto& mode,
                                int64 begin, int64 end) {
    const int64 n = end - begin;
    const auto all = static_cast<std::size_t>(n * D), one = static_cast<std::size_t>(D);
    found r{vector(all), vector(one, 77), vector(all), vector(all), vector(one, 77)};
    const gatescan::layout tokens{1, n, 1, D}, states{1, 1, D};
    const R::inputs<F> in{.d = {d.data() + begin * D, tokens},
                          .x = {x.data() + begin * D, tokens},
                          .initial_state = {state.data(), states}};
    gatescan::forward(where, mode, in,
                      {.out = {r.out.data(), tokens}, .final_state = {r.state.data(), states}});
    gatescan::backward(
        where, mode, in,
        {.out = {grad.data() + begin * D, tokens}, .final_state = {grad_state.data(), states}},
        {.d = {r.d.data(), tokens},
         .x = {r.x.data(), tokens},
         .initial_state = {r.d_state.data(), states}});
    return r;
  };
  const found whole =
      run(std::type_identity<double>{}, gatescan::cpu{1}, gatescan::recurrent{}, 0, L);
  const int64 begin = cut.begin(rank()), end = cut.end(rank());
  const found got =
      run(std::type_identity<T>{}, sequence_parallel<Backend>{MPI_COMM_WORLD, backend},
          gatescan::scan{}, begin, end);
  const auto piece = [&](const vector& v) {
    return vector(v.begin() + begin * D, v.begin() + end * D);
  };
  EXPECT_EQ(got.out, piece(whole.out));
  EXPECT_EQ(got.d, piece(whole.d));
  EXPECT_EQ(got.x, piece(whole.x));
  EXPECT_EQ(got.state, cut.last() ? whole.state : vector(3, 77));
  EXPECT_EQ(got.d_state, cut.first() ? whole.d_state : vector(3, 77));
}

}  // namespace
