// One sequence over ranks is the sequence: pieces of any size, also none, of every recurrence that
// has scan, forward and backward, against the oracle; and bit for bit scan on one machine where
// that cuts time at the same tokens.
//
// Run by mpirun; a failure on one rank ends its program with 1, and that of all.

#include <gatescan/distributed/sequence_parallel.hpp>

#include "over_ranks.hpp"
#include "own_over_ranks.hpp"

namespace {

constexpr gatescan::cpu one_thread{.threads = 1};
constexpr gatescan::scan two_segments{2};

pieces equal_pieces(int64 each) {
  pieces p;
  for (int r = 0; r < rank_count(); ++r) p.ends.push_back(each * (r + 1));
  return p;
}

template <class O>
class over_ranks : public ::testing::Test {};
TYPED_TEST_SUITE(over_ranks, every_case<::testing::Types>);

TYPED_TEST(over_ranks, random_pieces_are_the_whole) {
  std::uint32_t seed = 1;
  for (const gates gate : {gates::mild, gates::resets, gates::one}) {
    options c;
    c.gate = gate;
    expect_whole<TypeParam, double>(one_thread, two_segments, {2, 75, 2, 3, 5}, c,
                                    random_pieces(75, seed), seed, seed % 2 == 0);
    ++seed;
  }
}

// Pieces that are run before their states are known, some of them, and some to no avail.
TYPED_TEST(over_ranks, long_random_pieces_are_the_whole) {
  for (const gates gate : {gates::near_one, gates::mixed}) {
    options c;
    c.gate = gate;
    expect_whole<TypeParam, double>(one_thread, two_segments, {1, 3000, 2, 3, 5}, c,
                                    random_pieces(3000, 4), 4, false);
  }
}

// Without summaries of gradients one machine goes back through the whole sequence, from states that
// it has found token by token.
template <class O>
constexpr bool gradients_have_summaries = !gatescan::detail::average_form<recurrence_of<O>>;

// n ranks of some segments of `tokens` each are scan{n segments}: every chunk divides those.
template <class O>
void expect_bits_of_scan(int64 tokens_a_segment, int segments, std::vector<gates> kinds) {
  const pieces cut = equal_pieces(segments * tokens_a_segment);
  const int64 tokens = cut.ends.back();
  for (const gates gate : kinds) {
    SCOPED_TRACE(gate);
    options c;
    c.gate = gate;
    const auto in = rounded<O, float>(problem<O>({1, tokens, 2, 3, 5}, c, 9));
    const auto dout = rounded_results<O, float>(random_gradients<O>(O::forward(in), 9));
    const mode scan{mode::scan, segments * rank_count()};
    const both<O> whole{run_forward<O, float>(scan, in), run_backward<O, float>(scan, in, dout)};
    const auto want = piece_of<O>(whole, cut, cut.first(), cut.last());
    auto got =
        run<O, float>(sequence_parallel<>{MPI_COMM_WORLD, one_thread}, gatescan::scan{segments},
                      slice_inputs<O>(in, cut.begin(rank()), cut.end(rank())),
                      slice_results<O>(dout, cut.begin(rank()), cut.end(rank())));
    if (!cut.last()) got.out.final_state = {};
    if (!cut.first()) got.gradients.initial_state = {};
    expect_same_results<O>(got.out, want.out);
    if (!gradients_have_summaries<O>) continue;
    O::operands(  // sums over all tokens are added in another order
        [](const char* name, auto& g, auto& w) {
          const bool summed = !has_time<O>(name) && std::string(name) != "initial_state";
          EXPECT_TRUE(summed || g == w) << "gradient of " << name;
        },
        got.gradients, want.gradients);
  }
}
TYPED_TEST(over_ranks, pieces_of_scan_give_its_bits) {
  expect_bits_of_scan<TypeParam>(64, 2, {gates::mild, gates::resets});
}
// Segments long enough to be run before their states are known: results of gates that forget stay,
// of others they are written again.
TYPED_TEST(over_ranks, early_results_have_the_bits_of_scan) {
  expect_bits_of_scan<TypeParam>(1024, 1, {gates::near_one, gates::one});
}

TYPED_TEST(over_ranks, packed_sequences_cross_ranks) {
  pieces cut;
  for (int r = 1; r <= rank_count(); ++r) cut.ends.push_back(83 * r / rank_count());
  expect_packed<TypeParam, double>(one_thread, two_segments, {1, 83, 2, 3, 5}, cut);
  // Ranks have other numbers of sequences, and channels for several blocks.
  if (recurrence_of<TypeParam>::form.gate == gatescan::gate_span::entry) {
    expect_packed<TypeParam, double>(one_thread, two_segments, {1, 83, 2, 1, 300}, cut);
    expect_packed<TypeParam, double>(one_thread, two_segments, {1, 83, 600, 1, 1}, cut);
  }
}
TYPED_TEST(over_ranks, packed_sequences_pass_ranks_without_tokens) {
  for (const int one : {0, rank_count() - 1}) {
    pieces cut;
    for (int r = 0; r < rank_count(); ++r) cut.ends.push_back(r < one ? 0 : 83);
    expect_packed<TypeParam, double>(one_thread, two_segments, {1, 83, 2, 3, 5}, cut);
  }
}

TEST(over_ranks_own, best_path_is_the_whole) { expect_best_path<double>(gatescan::cpu{}); }

}  // namespace
