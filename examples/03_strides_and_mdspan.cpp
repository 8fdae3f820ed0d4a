// Strides do work that would otherwise be copies: a gate that is one number for all tokens, time
// that runs backwards, a channel picked out of a table. Here: a signal smoothed from both ends.
#include <array>
#include <cmath>
#include <cstdio>
#include <gatescan/gatescan.hpp>
#include <vector>

using gatescan::elementwise, gatescan::index_t, gatescan::view;

// What from_mdspan asks of a type: std::mdspan, Kokkos' and cuda::std's have it. This stands for
// them, since g++ 12 has none.
struct strided_span {
  using element_type = float;
  using rank_type = std::size_t;
  static constexpr rank_type rank() { return 4; }
  index_t extent(rank_type i) const { return extents[i]; }
  index_t stride(rank_type i) const { return strides[i]; }
  float* data_handle() const { return data; }

  float* data;
  std::array<index_t, 4> extents, strides;
};

int main() {
  const index_t L = 200, columns = 5, picked = 3;  // a table [L, 5]; column 3 is the signal
  std::vector<float> table(L * columns, -1.0f), later(L), earlier(L);
  for (index_t t = 0; t < L; ++t)
    table[static_cast<std::size_t>(t * columns + picked)] = t < L / 2 ? 0.0f : 1.0f;  // a step
  const float keep = 0.9f;

  // Stride 0: the gate of every token is the same number.
  const view<const float> gate{&keep, {1, L, 1, 1}, {0, 0, 0, 0}};
  const strided_span signal{&table[picked], {1, L, 1, 1}, {0, columns, 0, 1}};
  gatescan::forward(gatescan::cpu{}, gatescan::scan{},
                    elementwise::inputs<float>{.a = gate, .x = gatescan::from_mdspan(signal)},
                    {.out = view<float>{later.data(), {1, L, 1, 1}}});

  // Negative strides: the view starts at the last token and walks back. Results may do so as well.
  const strided_span reversed{&table[static_cast<std::size_t>((L - 1) * columns + picked)],
                              {1, L, 1, 1},
                              {0, -columns, 0, 1}};
  const view<float> reversed_out{&earlier.back(), {1, L, 1, 1}, {0, -1, 0, 0}};
  gatescan::forward(gatescan::cpu{}, gatescan::scan{},
                    elementwise::inputs<float>{.a = gate, .x = gatescan::from_mdspan(reversed)},
                    {.out = reversed_out});

  // Both sums hold the token itself: take it away once. The weights add to (1 + a) / (1 - a).
  float steepest = 0;
  std::size_t edge = 0;
  std::vector<float> smooth(L);
  for (std::size_t t = 0; t < smooth.size(); ++t) {
    const float here = table[t * columns + picked];
    smooth[t] = (later[t] + earlier[t] - here) * (1 - keep) / (1 + keep);
    if (t > 0 && smooth[t] - smooth[t - 1] > steepest)
      steepest = smooth[t] - smooth[t - 1], edge = t;
  }
  for (std::size_t t = 80; t <= 120; t += 10)
    std::printf("token %3zu  %.3f  %s\n", t, static_cast<double>(smooth[t]),
                std::string(static_cast<std::size_t>(40 * smooth[t]), '*').c_str());
  std::printf("the step is found between tokens %zu and %zu\n", edge - 1, edge);

  // A filter that looks both ways moves no edge: the halves mirror each other (far from the ends).
  bool right = edge == L / 2;
  for (std::size_t t = 0; t < L / 4; ++t)
    right = right && std::abs(smooth[L / 2 - 1 - t] + smooth[L / 2 + t] - 1) < 0.01f;
  return right ? 0 : 1;
}
