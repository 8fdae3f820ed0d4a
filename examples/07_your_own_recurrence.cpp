// A recurrence of your own, in your own file, gets every mode that its capabilities allow. The
// three of own_recurrences.hpp stand on three rungs of the ladder:
//   tied       a gated product          recurrent, scan, chunked, attention; gradients in all
//   best_path  an associative operator  recurrent, scan
//   rnn        a nonlinear step         recurrent
#include "own_recurrences.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <gatescan/testing/check_gradients.hpp>
#include <vector>

using gatescan::view;
using numbers = std::vector<double>;

constexpr std::int64_t L = 120, K = 4, V = 6, D = 9;

// Some numbers between -1 and 1.
numbers some(std::int64_t count, double seed) {
  numbers x(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::sin(seed * static_cast<double>(i * i + 1));
  return x;
}
double largest_difference(const numbers& a, const numbers& b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

// Forward and one gradient in a mode, as one list of numbers.
template <class Mode, class In, class Gradients>
numbers run(const Mode& mode, const In& in, std::int64_t width, const numbers& gradient,
            const Gradients& gradients) {
  numbers out(static_cast<std::size_t>(L * width)), d_out = some(L * width, 0.5);
  gatescan::forward(gatescan::cpu{}, mode, in, {.out = {out.data(), {1, L, 1, width}}});
  gatescan::backward(gatescan::cpu{}, mode, in, {.out = {d_out.data(), {1, L, 1, width}}},
                     gradients);
  out.insert(out.end(), gradient.begin(), gradient.end());
  return out;
}
// The largest difference between a mode and one token after another.
template <class Mode, class... Arguments>
double difference(const Mode& mode, const Arguments&... arguments) {
  const double worst =
      largest_difference(run(mode, arguments...), run(gatescan::recurrent{}, arguments...));
  std::printf("  %-9s differs from recurrent by %.1e\n", mode.name, worst);
  return worst;
}

// The adjoints are the derivative of forward. It takes four forwards a number.
template <class Mode, class In>
double wrong_gradient(const Mode& mode, const In& in) {
  const auto found = gatescan::check_gradients(gatescan::cpu{.threads = 1}, mode, in);
  std::printf("  %-9s backward differs from differences by %.1e at most, for %s\n", mode.name,
              found.error, found.operand.c_str());
  return found.error < 1e-9 ? 0 : 1;
}

int main() {
  double worst = 0;
  const auto check = [&](double d) { worst = std::max(worst, d); };

  const numbers q = some(L * K, 0.3), f = some(L * K, 0.7), v = some(L * V, 1.1);
  numbers d_f(f.size());
  const own::tied::inputs<double> tied{.q = {q.data(), {1, L, 1, K}},
                                       .f = {f.data(), {1, L, 1, K}},
                                       .v = {v.data(), {1, L, 1, V}},
                                       .lower = 0.5};
  const own::tied::gradients<double> d_tied{.f = {d_f.data(), {1, L, 1, K}}};
  std::printf("tied:\n");
  check(difference(gatescan::scan{}, tied, V, d_f, d_tied));
  check(difference(gatescan::chunked{32}, tied, V, d_f, d_tied));
  check(difference(gatescan::attention{}, tied, V, d_f, d_tied));
  own::tied::inputs<double> few = tied;
  few.q.shape[1] = few.f.shape[1] = few.v.shape[1] = 10;
  check(wrong_gradient(gatescan::recurrent{}, few));
  check(wrong_gradient(gatescan::chunked{4}, few));

  const numbers d = some(L * D, 0.9), x = some(L * D, 0.2);
  numbers d_x(x.size());
  const own::best_path::inputs<double> path{.d = {d.data(), {1, L, 1, D}},
                                            .x = {x.data(), {1, L, 1, D}}};
  std::printf("best_path:\n");
  check(difference(gatescan::scan{}, path, D, d_x,
                   own::best_path::gradients<double>{.x = {d_x.data(), {1, L, 1, D}}}));
  // gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, path, ...) does not compile: it says
  // that chunked needs the gated product.

  const numbers w(D, 0.5);
  const own::rnn::inputs<double> rnn{.w = {w.data(), {1, D}}, .x = {x.data(), {1, L, 1, D}}};
  numbers out(x.size()), h(D);
  gatescan::forward(gatescan::cpu{}, gatescan::recurrent{}, rnn,
                    {.out = {out.data(), {1, L, 1, D}}});
  double wrong = 0;
  for (std::size_t t = 0; t < L; ++t)
    for (std::size_t i = 0; i < D; ++i) {
      h[i] = std::tanh(0.5 * h[i] + x[t * D + i]);
      wrong = std::max(wrong, std::abs(h[i] - out[t * D + i]));
    }
  std::printf("rnn:\n  recurrent differs from a plain loop by %.1e\n", wrong);
  check(wrong);
  return worst < 1e-12 ? 0 : 1;
}
