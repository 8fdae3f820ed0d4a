#pragma once
// Adds the partial sums of gradients (gradient_sink.hpp), always in the same order: a thread an
// element of the result where there are few of them, or where neighbouring elements lie together
// and fill the device; else a warp an element; where elements are few and have many terms (what all
// tokens share), blocks a part of one, and a block an element for the parts.

#include "../tuning.hpp"
#include "gradient_sink.hpp"
#include "term_walk.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

// The elements of a result, and where the terms of each lie.
template <class C, class S>
struct partial_sums_of {
  static constexpr int block_threads = tuned.block_threads;
  gradient_sink<C, S> sink;
  // extents of the result
  index_t leads, tokens, heads, keys, values;
  // terms of a sum along each axis
  index_t lead_terms, token_terms, head_terms, key_terms, value_terms;

  struct place {
    index_t lead, token, head, key, value;
  };

  partial_sums_of(const gradient_sink<C, S>& s, const sizes& n, bool packed) : sink(s) {
    const auto split = [](index_t extent, bool apart, index_t& result, index_t& terms) {
      result = apart ? extent : 1, terms = apart ? 1 : extent;
    };
    const bool by_batch = !s.lead_is_sequence || !packed || s.is_state || n.sequences == n.batch;
    split(s.leads, s.to.batch != 0 && by_batch, leads, lead_terms);
    split(s.tokens, s.to.time != 0, tokens, token_terms);
    const index_t groups = s.to.head != 0 ? s.heads / s.to.heads_a_group : 1;
    heads = groups, head_terms = groups > 0 ? s.heads / groups : 0;
    split(s.keys, s.to.key != 0, keys, key_terms);
    split(s.values, s.to.value != 0, values, value_terms);
  }
  int threads() const { return block_threads; }
  int shared_bytes() const { return 0; }
  GATESCAN_HD index_t elements() const { return leads * tokens * heads * keys * values; }
  GATESCAN_HD term_axes<6> terms() const {
    const index_t of_heads = sink.keys * sink.values, of_tokens = sink.heads * of_heads;
    return {{value_terms, key_terms, head_terms, token_terms, lead_terms, sink.copies},
            {1, sink.values, of_heads, of_tokens, sink.tokens * of_tokens,
             sink.leads * sink.tokens * of_tokens}};
  }
  GATESCAN_HD place place_of(index_t element) const {
    const index_t value = element % values, key = (element /= values) % keys,
                  head = (element /= keys) % heads, token = (element /= heads) % tokens;
    return {element / tokens, token, head, key, value};
  }
  GATESCAN_HD index_t first_term(const place& at) const {
    return (((at.lead * sink.tokens + at.token) * sink.heads + at.head * head_terms) * sink.keys +
            at.key) *
               sink.values +
           at.value;
  }
  /// Terms first, first + by, ... before `end` of the element.
  GATESCAN_HD void add(const place& at, index_t first, index_t by, index_t end,
                       accumulator<C>& sum) const {
    add_terms(terms(), first_term(at), sink.partial, sink.plane_size(), first, by, end, sum);
  }
  /// The same of what was left beside the element's key or value.
  GATESCAN_HD void add_cross_side(const place& at, index_t first, index_t by,
                                  accumulator<C>& sum) const {
    if (at.key != 0 || at.value != 0) return;
    const term_axes<4> axes{
        {head_terms, token_terms, lead_terms, sink.cross_sides},
        {1, sink.heads, sink.tokens * sink.heads, sink.leads * sink.tokens * sink.heads}};
    add_terms(axes, (at.lead * sink.tokens + at.token) * sink.heads + at.head * head_terms,
              sink.cross_side, sink.cross_side_size(), first, by, axes.size(), sum);
  }
  GATESCAN_HD void store(const place& at, const accumulator<C>& sum) const {
    const index_t o = at.lead * sink.to.batch + at.token * sink.to.time + at.head * sink.to.head +
                      at.key * sink.to.key + at.value * sink.to.value;
    sink.to.re[o] = convert<S>(sum.re);
    if (sink.to.im != nullptr) sink.to.im[o] = convert<S>(sum.im);
  }
  template <class Block>
  GATESCAN_HD accumulator<C> over_block(Block& block, const accumulator<C>& own) const {
    const auto plus = [](C x, C y) { return x + y; };
    accumulator<C> sum;
    sum.re = block.template sum<block_threads>(own.re, plus);
    if (sink.to.im != nullptr) sum.im = block.template sum<block_threads>(own.im, plus);
    return sum;
  }

 private:
  template <std::size_t Axes>
  GATESCAN_HD void add_terms(const term_axes<Axes>& axes, index_t start, const C* numbers,
                             index_t plane, index_t first, index_t by, index_t end,
                             accumulator<C>& sum) const {
    if (first >= end) return;
    term_walk walk(axes, first, by);
    const auto next = [&] {
      const index_t o = start + walk.offset();
      walk.advance();
      return o;
    };
    index_t i = first;
    constexpr int together = 4;  // read before they are added, in the same order
    for (; i + (together - 1) * by < end; i += together * by) {
      accumulator<C> x[together];
      unrolled<together>([&](int n) {
        const index_t o = next();
        x[n].re = numbers[o];
        if (sink.to.im != nullptr) x[n].im = numbers[plane + o];
      });
      unrolled<together>([&](int n) { sum.re += x[n].re, sum.im += x[n].im; });
    }
    for (; i < end; i += by) {
      const index_t o = next();
      sum.re += numbers[o];
      if (sink.to.im != nullptr) sum.im += numbers[plane + o];
    }
  }
};

// A thread or a warp an element.
template <class C, class S>
struct reduce_gradient : partial_sums_of<C, S> {
  int lanes;

  index_t blocks() const { return ceil_divide(this->elements() * lanes, this->threads()); }
  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t thread = block.index() * block.threads() + block.thread();
    const index_t element = thread / lanes;
    const bool mine = element < this->elements();
    const auto at = this->place_of(mine ? element : 0);
    accumulator<C> sum;
    if (mine) {
      this->add(at, thread % lanes, lanes, this->terms().size(), sum);
      this->add_cross_side(at, thread % lanes, lanes, sum);
    }
    for (int m = lanes / 2; m > 0; m /= 2) {
      sum.re += block.shuffle_xor(sum.re, m);
      sum.im += block.shuffle_xor(sum.im, m);
    }
    if (mine && thread % lanes == 0) this->store(at, sum);
  }
};

// A block `span` terms of an element: their sum takes the place of the first of them.
template <class C, class S>
struct reduce_parts : partial_sums_of<C, S> {
  index_t span, parts;

  index_t blocks() const { return this->elements() * parts; }
  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto at = this->place_of(block.index() / parts);
    const index_t first = block.index() % parts * span, all = this->terms().size();
    accumulator<C> own;
    this->add(at, first + block.thread(), block.threads(), first + span < all ? first + span : all,
              own);
    const accumulator<C> sum = this->over_block(block, own);
    if (block.thread() != 0) return;
    const auto axes = this->terms();
    const index_t o = this->first_term(at) + term_walk(axes, first, 1).offset();
    this->sink.partial[o] = sum.re;
    if (this->sink.to.im != nullptr) this->sink.partial[this->sink.plane_size() + o] = sum.im;
  }
};

// A block an element: the sums of parts of `span` terms (1: the terms), and what lies beside.
template <class C, class S>
struct reduce_element : partial_sums_of<C, S> {
  index_t span;

  index_t blocks() const { return this->elements(); }
  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const auto at = this->place_of(block.index());
    accumulator<C> own;
    this->add(at, block.thread() * span, block.threads() * span, this->terms().size(), own);
    this->add_cross_side(at, block.thread(), block.threads(), own);
    const accumulator<C> sum = this->over_block(block, own);
    if (block.thread() == 0) this->store(at, sum);
  }
};

template <class Device, class C, class S>
void add_partial_sums(const Device& gpu, const gradient_sink<C, S>& s, const sizes& n,
                      bool packed) {
  if (!s.to.given || s.exclusive) return;
  const partial_sums_of<C, S> of(s, n, packed);
  const index_t elements = of.elements(), terms = of.terms().size();
  if (elements * warp_threads < tuned.full_threads && terms >= 2 * of.block_threads) {
    const index_t most = ceil_divide(terms, tuned.terms_a_thread * of.block_threads),
                  wanted = ceil_divide(tuned.full_blocks, (std::max<index_t>)(elements, 1)),
                  span = ceil_divide(terms, (std::min)(most, wanted)),
                  parts = ceil_divide(terms, span);
    if (parts > 1) launch(gpu, reduce_parts<C, S>{of, span, parts});
    return launch(gpu, reduce_element<C, S>{of, parts > 1 ? span : 1});
  }
  const bool wide = of.key_terms * of.value_terms == 1 && elements >= tuned.wide_result;
  launch(gpu, reduce_gradient<C, S>{of, terms >= 2 * warp_threads && !wide ? warp_threads : 1});
}

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
