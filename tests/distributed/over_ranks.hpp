// One sequence over ranks against the whole of it: pieces of any size, also none. Every rank makes
// the whole problem and judges its own piece.
#pragma once

#include <gatescan/distributed/verbs.hpp>

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
template <class O, class T, class Backend, class Mode>
both<O> run(const sequence_parallel<Backend>& where, const Mode& mode, const typename O::inputs& in,
            const typename O::outputs& dout) {
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

template <class O, class T, class Backend, class Mode>
void expect_whole(const Backend& backend, const Mode& mode, const sizes& n, const options& c,
                  const pieces& cut, std::uint32_t seed, bool state_everywhere) {
  SCOPED_TRACE(::testing::Message()
               << n << " " << c << " seed " << seed << " rank " << rank() << " of " << rank_count()
               << ": " << cut.begin(rank()) << " to " << cut.end(rank()));
  const auto in = rounded<O, T>(problem<O>(n, c, seed));
  both<O> whole;
  whole.out = O::forward(in);
  const auto dout = rounded_results<O, T>(random_gradients<O>(whole.out, seed));
  whole.gradients = as_returned<O>(in, O::backward(in, dout));
  const auto want = piece_of<O>(whole, cut, cut.first(), cut.last() || state_everywhere);
  auto got = run<O, T>(sequence_parallel<Backend>{MPI_COMM_WORLD, backend, false, state_everywhere},
                       mode, slice_inputs<O>(in, cut.begin(rank()), cut.end(rank())),
                       slice_results<O>(dout, cut.begin(rank()), cut.end(rank())));
  if (!cut.last() && !state_everywhere) expect_untouched(got.out.final_state);
  if (!cut.first()) expect_untouched(got.gradients.initial_state);
  const tolerance bound = tolerance_of<T>();
  expect_results<O>(got.out, want.out, bound);
  expect_gradients<O>(got.gradients, want.gradients, bound);
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
template <class O, class T, class Backend, class Mode>
void expect_packed(const Backend& backend, const Mode& mode, const sizes& n, const pieces& cut) {
  SCOPED_TRACE(n);
  options c;
  c.sequences = 5;
  auto in = problem<O>(n, c, 7);
  in.sequence_offsets = {0, 17, 17, 18, 50, 83};
  in = rounded<O, T>(in);
  both<O> whole;
  whole.out = O::forward(in);
  const auto dout = rounded_results<O, T>(random_gradients<O>(whole.out, 7));
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
  auto got = run<O, T>(sequence_parallel<Backend>{MPI_COMM_WORLD, backend, continues}, mode, mine,
                       my_dout);

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
  const tolerance bound = tolerance_of<T>();
  expect_results<O>(got.out, want.out, bound);
  expect_gradients<O>(got.gradients, want.gradients, bound);
}

}  // namespace
