// S10 on matrix states: in recurrent mode a sequence in pieces is the same sequence bit for bit,
// forward, and backward with the gradients of the state handed from piece to piece.
#include "../grid/check.hpp"
#include "../support/slices.hpp"
#include "device_formats.hpp"

namespace {

using namespace support;

template <class Cell>
class streaming_device : public ::testing::Test {};
using cells = ::testing::Types<grid::cell<gla, float>, grid::cell<gla, double>,
                               grid::cell<gla, gatescan::bf16>, grid::cell<gateloop, float>,
                               grid::cell<gated_delta_net, float>, grid::cell<mlstm, float>,
                               grid::cell<rwkv4, float>>;
TYPED_TEST_SUITE(streaming_device, cells);

TYPED_TEST(streaming_device, S10_pieces_are_the_whole_bit_for_bit) {
  using O = typename TypeParam::oracle;
  using T = typename TypeParam::scalar;
  constexpr mode recurrent{mode::recurrent, 0};
  const std::vector<int64> cuts{0, 0, 7, 16, 37, 37, 38, 70};
  for (const gates gate : {gates::mild, gates::resets, gates::mixed}) {
    SCOPED_TRACE(gate);
    options c;
    c.gate = gate;
    const auto in = rounded<O, T>(problem<O>({2, cuts.back(), 2, 5, 3}, c, 17));
    const auto whole = run_forward<O, T>(recurrent, in);
    std::vector<decltype(in.initial_state)> states{in.initial_state};
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      auto part = slice_inputs<O>(in, cuts[i], cuts[i + 1]);
      part.initial_state = states.back();
      const auto out = run_forward<O, T>(recurrent, part);
      EXPECT_TRUE(same_bits(out.out, slice(whole.out, cuts[i], cuts[i + 1]))) << "piece " << i;
      states.push_back(out.final_state);
    }
    EXPECT_TRUE(same_bits(states.back(), whole.final_state));

    const auto d_out = rounded_results<O, T>(random_gradients<O>(whole, 18));
    const auto d_whole = run_backward<O, T>(recurrent, in, d_out);
    auto d_state = d_out.final_state;
    for (std::size_t i = cuts.size() - 1; i-- > 0;) {
      auto part = slice_inputs<O>(in, cuts[i], cuts[i + 1]);
      part.initial_state = states[i];
      auto d_part = slice_results<O>(d_out, cuts[i], cuts[i + 1]);
      d_part.final_state = d_state;
      const auto d = run_backward<O, T>(recurrent, part, d_part);
      O::operands(
          [&](const char* name, auto& p, auto& w) {
            if (!has_time<O>(name) || !p.given()) return;
            EXPECT_TRUE(same_bits(p, slice(w, cuts[i], cuts[i + 1]))) << name << ", piece " << i;
          },
          d, d_whole);
      d_state = d.initial_state;
    }
    EXPECT_TRUE(same_bits(d_state, d_whole.initial_state));
  }
}

}  // namespace
