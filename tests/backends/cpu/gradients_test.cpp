// Where gradients go: every slot adds to tiles, flushes them, and the partial sums are added up.
// Contributions are small integers, so that every order of addition gives the plain sum exactly.
#include <gtest/gtest.h>

#include <gatescan/gatescan.hpp>
#include <vector>

#include "../../support/generate.hpp"

namespace {

using namespace gatescan;
using enum gatescan::axis;
using gatescan::detail::gradient_target, gatescan::detail::work_split;

struct problem {
  sizes n;
  std::vector<index_t> offsets;  // packed sequences, or empty
  index_t value_block;           // values a block has

  index_t first_token(index_t sequence) const {
    return offsets.empty() ? 0 : offsets[static_cast<std::size_t>(sequence)];
  }
  index_t last_token(index_t sequence) const {
    return offsets.empty() ? n.time : offsets[static_cast<std::size_t>(sequence) + 1];
  }
  index_t batch_of(index_t sequence) const { return offsets.empty() ? sequence : 0; }
  double contribution(index_t b, index_t t, index_t h, index_t k, index_t v) const {
    return static_cast<double>((b * 7 + t * 5 + h * 3 + k * 11 + v * 13) % 5 - 2);
  }
};

// All contributions of one slot's items, block after block of tokens.
template <class C, class S>
void work(const problem& p, const work_split& split, index_t slot, gradient_target<C, S>& target,
          std::vector<std::byte>& scratch) {
  const auto round_up = [](index_t x) {
    return (x + simd::lanes<C> - 1) / simd::lanes<C> * simd::lanes<C>;
  };
  const index_t key_pitch = round_up(p.n.keys), value_pitch = round_up(p.value_block);
  arena memory{scratch};
  auto tile = target.take_tile(memory, key_pitch, value_pitch);
  target.clear_partial(slot);
  for (index_t item = split.first_item(slot); item < split.first_item(slot + 1); ++item) {
    const index_t segment = item % split.segments, rest = item / split.segments;
    const index_t first_value = rest % split.value_blocks * p.value_block;
    const index_t values = std::min(p.value_block, p.n.values - first_value);
    const index_t h = rest / split.value_blocks % p.n.heads, sequence = split.sequence_of(item);
    const index_t b = p.batch_of(sequence), begin = p.first_token(sequence);
    const index_t length = p.last_token(sequence) - begin;
    const index_t first = begin + segment * length / split.segments;
    const index_t last = begin + (segment + 1) * length / split.segments;
    const index_t at_once =
        target.in_time() ? detail::subchunk_tokens : std::max<index_t>(length, 1);
    index_t t = first;
    do {
      const index_t count = std::min(at_once, last - t);
      target.clear_tile(tile, key_pitch, value_pitch);
      target.open(tile, b, t, count, h, first_value, values);
      for (index_t i = 0; i < count; ++i)
        for (index_t k = 0; k < p.n.keys; ++k)
          for (index_t v = 0; v < values; ++v)
            tile.re[i * tile.time + k * tile.key + v * tile.value] +=
                static_cast<C>(p.contribution(b, t + i, h, k, first_value + v));
      target.flush(tile, slot, split, b, t, count, h, first_value, values);
      t += count;
    } while (t < last);
  }
}

constexpr float untouched = 12345;

template <class C, class S>
void check(const problem& p, const axes& a, const layout& where, index_t segments, int threads) {
  std::vector<S> got(4000, S(untouched));
  const auto to = detail::bind("d", view<S>(got.data() + 1000, where), a, p.n, false);
  ASSERT_TRUE(to.given);

  std::vector<double> sums(got.size(), 0);
  std::vector<bool> written(got.size(), false);
  for (index_t s = 0; s < p.n.sequences; ++s)
    for (index_t t = p.first_token(s); t < p.last_token(s); ++t)
      for (index_t h = 0; h < p.n.heads; ++h)
        for (index_t k = 0; k < p.n.keys; ++k)
          for (index_t v = 0; v < p.n.values; ++v) {
            const index_t b = p.batch_of(s);
            const auto at =
                static_cast<std::size_t>(1000 + to.offset(b, t, h) + k * to.key + v * to.value);
            sums[at] += p.contribution(b, t, h, k, v);
            written[at] = true;
          }

  work_split split;
  split.sequences = p.n.sequences, split.heads = p.n.heads, split.segments = segments;
  split.value_blocks = (p.n.values + p.value_block - 1) / p.value_block;
  split.packed = !p.offsets.empty();
  split.slot_count = std::min<index_t>(3, split.items());
  gradient_target<C, S> target(to, p.n, split, false, false);
  arena measure;
  target.take_partial(measure, split);
  std::vector<std::byte> partial(measure.bytes_needed());
  arena memory{partial};
  target.take_partial(memory, split);
  arena of_tiles;
  target.take_tile(of_tiles, 64, 64);
  std::vector<std::byte> scratch(of_tiles.bytes_needed());
  for (index_t slot = split.slot_count; slot-- > 0;) work(p, split, slot, target, scratch);
  target.reduce(cpu{.threads = threads}, split);

  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_EQ(static_cast<double>(got[i]), written[i] ? sums[i] : static_cast<double>(untouched))
        << "element " << i;
}

template <class C, class S>
void check_everywhere(const problem& p) {
  const auto [sequences, B, L, H, K, V] = p.n;
  for (const index_t segments : {1, 2})
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(::testing::Message() << "keys " << K << " values " << V << " segments "
                                        << segments << " threads " << threads);
      const auto expect = [&](const axes& a, const layout& where) {
        check<C, S>(p, a, where, segments, threads);
      };
      constexpr axes keys_axes{batch, time, head, key}, values_axes{batch, time, head, value},
          parameter{head, key}, channels{channel, key}, gates{batch, time, head, key_or_one};
      expect(keys_axes, layout{B, L, H, K});
      expect(values_axes, layout{B, L, H, V});
      expect(values_axes, layout({B, L, H, V}, {L * H * (V + 3), H * (V + 3), V + 3, 1}));
      expect(keys_axes, layout{B, L, H / 2, K});                    // grouped heads
      expect(keys_axes, layout{B, L, 1, K});                        // one head for all
      expect(keys_axes, layout({B, L, H, K}, {0, H * K, K, 1}));    // the same in all batches
      expect(values_axes, layout({B, L, H, V}, {H * V, 0, V, 1}));  // at all times
      expect(values_axes, layout({B, L, H, V}, {L * H, H, 1, 0}));  // for all values
      expect(gates, layout{B, L, H, 1});                            // one gate a head
      expect(parameter, layout{H, K});                              // without time
      expect(channels, layout{H * V, K});
    }
}

template <class T>
class gradients : public ::testing::Test {};
struct in_float {
  using computed = float;
  using stored = float;
};
struct in_double {
  using computed = double;
  using stored = double;
};
struct rounded_once {
  using computed = double;
  using stored = float;
};
using formats = ::testing::Types<in_float, in_double, rounded_once>;
TYPED_TEST_SUITE(gradients, formats);

TYPED_TEST(gradients, are_the_plain_sum) {
  using C = typename TypeParam::computed;
  using S = typename TypeParam::stored;
  constexpr index_t lanes = simd::lanes<C>;
  check_everywhere<C, S>({{2, 2, 21, 4, 3, 5}, {}, 5});
  check_everywhere<C, S>({{2, 2, 5, 4, lanes, lanes}, {}, lanes});  // tiles in the caller's memory
  check_everywhere<C, S>({{1, 1, 5, 4, 3, 2 * lanes}, {}, lanes});  // two blocks of values
}

TYPED_TEST(gradients, of_packed_sequences_are_the_plain_sum) {
  using C = typename TypeParam::computed;
  using S = typename TypeParam::stored;
  check_everywhere<C, S>({{3, 1, 23, 4, 3, 5}, {0, 4, 4, 23}, 5});
}

}  // namespace
