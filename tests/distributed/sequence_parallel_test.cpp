// One sequence over ranks is the sequence: pieces of any size, also none, of every recurrence that
// has scan, forward and backward, against the oracle; and bit for bit scan on one machine where
// that cuts time at the same tokens. Every rank makes all problems and judges its own piece.
//
// Run by mpirun; a failure on one rank ends its program with 1, and that of all.

#include <gatescan/distributed/sequence_parallel.hpp>

#include "../../examples/own_recurrences.hpp"
#include "../support/compare.hpp"
#include "../support/slices.hpp"
#include "program.hpp"

namespace {

using namespace support;
using gatescan::sequence_parallel;

// begin and end of this rank's tokens; who has any
struct pieces {
  std::vector<int64> ends;  // [rank]
  int64 begin(int r) const { return r == 0 ? 0 : ends[static_cast<std::size_t>(r - 1)]; }
  int64 end(int r) const { return ends[static_cast<std::size_t>(r)]; }
  bool empty(int r) const { return begin(r) == end(r); }
  bool first() const { return begin(rank()) == 0 && !empty(rank()); }
  bool last() const { return end(rank()) == ends.back() && !empty(rank()); }
};
pieces equal_pieces(int64 each) {
  pieces p;
  for (int r = 0; r < rank_count(); ++r) p.ends.push_back(each * (r + 1));
  return p;
}
pieces random_pieces(int64 tokens, std::uint32_t seed) {
  generator g(seed);
  pieces p;
  for (int r = 1; r < rank_count(); ++r) p.ends.push_back(g.between(0, static_cast<int>(tokens)));
  std::sort(p.ends.begin(), p.ends.end());
  p.ends.push_back(tokens);
  return p;
}

template <class O>
struct both {
  typename O::outputs out;
  typename O::inputs gradients;
};

// this rank's piece in the library, forward and backward
template <class O, class T>
both<O> run(const sequence_parallel& where, int segments, const typename O::inputs& in,
            const typename O::outputs& dout) {
  const gatescan::scan mode{segments};
  both<O> result;
  result.out = call_forward<O, T>(in, {}, [&](const auto& lib_in, const auto& lib) {
    workspace w(gatescan::workspace_bytes(where, mode, lib_in), poison_nan);
    gatescan::forward(where, mode, lib_in, lib, {w.span()});
    EXPECT_TRUE(w.guards_intact()) << "workspace";
  });
  result.gradients = call_backward<O, T>(
      in, dout, {}, [&](const auto& lib_in, const auto& lib_dout, const auto& lib) {
        workspace w(gatescan::workspace_bytes(where, mode, lib_in, lib), poison_nan);
        gatescan::backward(where, mode, lib_in, lib_dout, lib, {w.span()});
        EXPECT_TRUE(w.guards_intact()) << "workspace";
      });
  return result;
}

// What this rank has to find of the whole: its tokens, and the states of the ends that it has.
template <class O>
both<O> piece_of(const both<O>& whole, const pieces& cut, bool state_at_begin, bool state_at_end) {
  both<O> r{slice_results<O>(whole.out, cut.begin(rank()), cut.end(rank())),
            slice_inputs<O>(whole.gradients, cut.begin(rank()), cut.end(rank()))};
  if (!state_at_end) r.out.final_state = {};
  if (!state_at_begin) r.gradients.initial_state = {};
  return r;
}
// What was not written is poison still, and left out; the part that has no gradient is 0.
template <class T>
void expect_untouched(tensor<T>& x) {
  for (const T& e : x.data) EXPECT_TRUE(std::isnan(square(e)) || e == T{}) << "written";
  x = {};
}

template <class O>
class over_ranks : public ::testing::Test {};
TYPED_TEST_SUITE(over_ranks, every_case<::testing::Types>);

template <class O, class T>
void expect_whole(const sizes& n, const options& c, const pieces& cut, std::uint32_t seed,
                  bool state_everywhere) {
  SCOPED_TRACE(::testing::Message()
               << n << " " << c << " seed " << seed << " rank " << rank() << " of " << rank_count()
               << ": " << cut.begin(rank()) << " to " << cut.end(rank()));
  const auto in = rounded<O, T>(problem<O>(n, c, seed));
  both<O> whole;
  whole.out = O::forward(in);
  const auto dout = rounded_results<O, T>(random_gradients<O>(whole.out, seed));
  whole.gradients = as_returned<O>(in, O::backward(in, dout));
  const auto want = piece_of<O>(whole, cut, cut.first(), cut.last() || state_everywhere);
  auto got = run<O, T>({MPI_COMM_WORLD, {.threads = 1}, false, state_everywhere}, 2,
                       slice_inputs<O>(in, cut.begin(rank()), cut.end(rank())),
                       slice_results<O>(dout, cut.begin(rank()), cut.end(rank())));
  if (!cut.last() && !state_everywhere) expect_untouched(got.out.final_state);
  if (!cut.first()) expect_untouched(got.gradients.initial_state);
  const tolerance bound = tolerance_of<T>();
  expect_results<O>(got.out, want.out, bound);
  expect_gradients<O>(got.gradients, want.gradients, bound);
}

TYPED_TEST(over_ranks, random_pieces_are_the_whole) {
  std::uint32_t seed = 1;
  for (const gates gate : {gates::mild, gates::resets, gates::one}) {
    options c;
    c.gate = gate;
    expect_whole<TypeParam, double>({2, 75, 2, 3, 5}, c, random_pieces(75, seed), seed,
                                    seed % 2 == 0);
    ++seed;
  }
}

// Pieces that are run before their states are known, some of them, and some to no avail.
TYPED_TEST(over_ranks, long_random_pieces_are_the_whole) {
  for (const gates gate : {gates::near_one, gates::mixed}) {
    options c;
    c.gate = gate;
    expect_whole<TypeParam, double>({1, 3000, 2, 3, 5}, c, random_pieces(3000, 4), 4, false);
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
    auto got = run<O, float>({MPI_COMM_WORLD, {.threads = 1}}, segments,
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

// Rows [first, end) of a state.
template <class T>
tensor<T> rows(const tensor<T>& x, int64 first, int64 end) {
  if (!x.given()) return {};
  tensor<T> r = x;
  r.shape[0] = end - first;
  const auto row = static_cast<std::ptrdiff_t>(x.data.size()) / std::max<int64>(x.extent(0), 1);
  r.data.assign(x.data.begin() + first * row, x.data.begin() + end * row);
  return r;
}

// Packed sequences that begin on one rank and end on another, or none at all.
template <class O>
void expect_packed(const sizes& n, const pieces& cut) {
  SCOPED_TRACE(n);
  options c;
  c.sequences = 5;
  auto in = problem<O>(n, c, 7);
  in.sequence_offsets = {0, 17, 17, 18, 50, 83};
  in = rounded<O, double>(in);
  both<O> whole;
  whole.out = O::forward(in);
  const auto dout = random_gradients<O>(whole.out, 7);
  whole.gradients = as_returned<O>(in, O::backward(in, dout));

  const int64 begin = cut.begin(rank()), end = cut.end(rank());
  const auto& all = in.sequence_offsets;
  int64 first = 5, last = 0;  // the sequences that have tokens here, or begin here
  for (int64 s = 0; s < 5; ++s) {
    const int64 from = all[static_cast<std::size_t>(s)], to = all[static_cast<std::size_t>(s + 1)];
    if ((from < begin && to > begin) || (from >= begin && from < end))
      first = std::min(first, s), last = s + 1;
  }
  if (cut.empty(rank())) first = last = 0;
  const bool continues = !cut.empty(rank()) && all[static_cast<std::size_t>(first)] < begin;
  const bool goes_on = !cut.empty(rank()) && all[static_cast<std::size_t>(last)] > end;
  auto mine = slice_inputs<O>(in, begin, end);
  mine.sequence_offsets.clear();
  for (int64 s = first; s <= last; ++s)
    mine.sequence_offsets.push_back(std::clamp(all[static_cast<std::size_t>(s)], begin, end) -
                                    begin);
  mine.initial_state = rows(in.initial_state, first, last);
  auto my_dout = slice_results<O>(dout, begin, end);
  my_dout.final_state = rows(dout.final_state, first, last);
  auto got = run<O, double>({MPI_COMM_WORLD, {.threads = 1}, continues}, 2, mine, my_dout);

  auto want = piece_of<O>(whole, cut, true, true);
  want.out.final_state = rows(whole.out.final_state, first, last - goes_on);
  want.gradients.initial_state = rows(whole.gradients.initial_state, first + continues, last);
  const int64 count = last - first;
  auto unwritten_end = rows(got.out.final_state, count - goes_on, count);
  auto unwritten_begin = rows(got.gradients.initial_state, 0, continues);
  expect_untouched(unwritten_end);
  expect_untouched(unwritten_begin);
  got.out.final_state = rows(got.out.final_state, 0, count - goes_on);
  got.gradients.initial_state = rows(got.gradients.initial_state, continues, count);
  const tolerance bound = tolerance_of<double>();
  expect_results<O>(got.out, want.out, bound);
  expect_gradients<O>(got.gradients, want.gradients, bound);
}
TYPED_TEST(over_ranks, packed_sequences_cross_ranks) {
  pieces cut;
  for (int r = 1; r <= rank_count(); ++r) cut.ends.push_back(83 * r / rank_count());
  expect_packed<TypeParam>({1, 83, 2, 3, 5}, cut);
  // Ranks have other numbers of sequences, and channels for several blocks.
  if (recurrence_of<TypeParam>::form.gate == gatescan::gate_span::entry) {
    expect_packed<TypeParam>({1, 83, 2, 1, 300}, cut);
    expect_packed<TypeParam>({1, 83, 600, 1, 1}, cut);
  }
}
TYPED_TEST(over_ranks, packed_sequences_pass_ranks_without_tokens) {
  for (const int one : {0, rank_count() - 1}) {
    pieces cut;
    for (int r = 0; r < rank_count(); ++r) cut.ends.push_back(r < one ? 0 : 83);
    expect_packed<TypeParam>({1, 83, 2, 3, 5}, cut);
  }
}

// A recurrence of a user's own operator, whose gradients of states have no summary; exact numbers.
TEST(over_ranks_own, best_path_is_the_whole) {
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
  const auto run = [&](const auto& where, const auto& mode, int64 begin, int64 end) {
    const int64 n = end - begin;
    const auto all = static_cast<std::size_t>(n * D), one = static_cast<std::size_t>(D);
    found r{vector(all), vector(one, 77), vector(all), vector(all), vector(one, 77)};
    const gatescan::layout tokens{1, n, 1, D}, states{1, 1, D};
    const R::inputs<double> in{.d = {d.data() + begin * D, tokens},
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
  const found whole = run(gatescan::cpu{1}, gatescan::recurrent{}, 0, L);
  const int64 begin = cut.begin(rank()), end = cut.end(rank());
  const found got = run(sequence_parallel{MPI_COMM_WORLD}, gatescan::scan{}, begin, end);
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
