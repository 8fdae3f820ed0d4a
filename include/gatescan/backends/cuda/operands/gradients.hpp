#pragma once
// Where gradients go. A thread sums what it knows of an element in an accumulator and leaves it in
// a sink. Where one element of a gradient collects from several threads (grouped heads, parameters
// without a time axis, stride 0, keys whose values lie in several blocks), each leaves a partial
// sum in scratch, and one program adds them in a fixed order: no atomics, the same bits every time.

#include "../../../core/problem.hpp"
#include "../../../core/workspace.hpp"
#include "../toolbox.hpp"
#include "../tuning.hpp"
#include "cursor.hpp"
#include "term_walk.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

// The gradient of one operand on its way to the caller's memory. Threads see an index space
// [copy][lead][token][head][key][value], of the axes that the operand declares: lead counts
// batches, or sequences for an operand without a time axis; copies are the threads (work items)
// that know a part of the same element. Every element of it is stored exactly once.
template <class C, class S>
struct gradient_sink {
  operand<S> to{};
  index_t copies = 1, leads = 1, tokens = 1, heads = 1, keys = 1, values = 1;
  bool has_time = false, has_key = false, has_value = false;
  bool lead_is_sequence = false, is_state = false;
  bool exclusive = true;  // every element is one of the caller's: no partial sums
  C* partial = nullptr;
  // Steps of that index space in the caller's memory, or in scratch: known before the launch, so
  // that threads keep one offset of a sink and not its extents' products.
  index_t by_copy = 0, by_lead = 0, by_token = 0, by_head = 0, by_key = 0, by_value = 0;
  // Threads that have no key (or value) of the operand's own and add to the first one leave their
  // sums apart: [copy][lead][token][head].
  index_t cross_sides = 0;
  C* cross_side = nullptr;

  gradient_sink() = default;
  gradient_sink(const operand<S>& target, const axes& a, const sizes& n, bool packed,
                index_t work_copies)
      : to(target), copies(work_copies) {
    if (!to.given) return;
    has_time = a.has(axis::time);
    has_key = a.has(axis::key) || a.has(axis::key_or_one);
    has_value = a.has(axis::value) || a.has(axis::value_or_one) || a.has(axis::channel);
    lead_is_sequence = !has_time;
    leads = lead_is_sequence ? n.sequences : n.batch;
    tokens = has_time ? n.time : 1;
    heads = n.heads;
    keys = has_key ? n.keys : 1;
    values = has_value ? n.values : 1;
    is_state = a.has(axis::sequence);
    const bool lead_apart =
        leads == 1 || (to.batch != 0 && (!lead_is_sequence || !packed || is_state));
    exclusive = copies == 1 && leads > 0 && lead_apart && (tokens == 1 || to.time != 0) &&
                (heads == 1 || (to.head != 0 && to.heads_a_group == 1)) &&
                (keys == 1 || to.key != 0) && (values == 1 || to.value != 0);
    lay_out();
  }
  void expect_cross_side(index_t cross_side_copies) {
    cross_sides = cross_side_copies;
    exclusive = exclusive && cross_sides == 0;
    lay_out();
  }
  GATESCAN_HD index_t plane_size() const { return copies * leads * tokens * heads * keys * values; }
  GATESCAN_HD index_t cross_side_size() const { return cross_sides * leads * tokens * heads; }
  void take(arena& scratch) {
    const index_t planes = to.complex ? 2 : 1;
    if (!to.given || exclusive) return;
    partial = scratch.take<C>(plane_size() * planes);
    if (cross_sides > 0) cross_side = scratch.take<C>(cross_side_size() * planes);
  }

  /// Leaves a thread's sum. `at` has the axes that the operand has.
  template <class Place>
  GATESCAN_HD void store(const Place& at, index_t sequence, index_t copy,
                         const accumulator<C>& sum) const {
    if (!to.given) return;
    const index_t lead = lead_is_sequence ? sequence : at.batch;
    // the token last: what is before it stays the same in a loop over tokens
    const index_t o = copy * by_copy + lead * by_lead + at.head * by_head + at.value * by_value +
                      at.key * by_key + at.time * by_token;
    if (exclusive) {
      to.re[o] = convert<S>(sum.re);
      if (to.im != nullptr) to.im[o] = convert<S>(sum.im);
    } else {
      partial[o] = sum.re;
      if (to.im != nullptr) partial[plane_size() + o] = sum.im;
    }
  }
  template <class Place>
  GATESCAN_HD void store_cross_side(const Place& at, index_t sequence, index_t copy,
                                    const accumulator<C>& sum) const {
    const index_t lead = lead_is_sequence ? sequence : at.batch, time = has_time ? at.time : 0;
    const index_t o = ((copy * leads + lead) * tokens + time) * heads + at.head;
    cross_side[o] = sum.re;
    if (to.im != nullptr) cross_side[cross_side_size() + o] = sum.im;
  }

 private:
  void lay_out() {
    const index_t of_tokens = heads * keys * values;
    by_copy = exclusive ? 0 : leads * tokens * of_tokens;
    by_lead = exclusive ? to.batch : tokens * of_tokens;
    by_token = !has_time ? 0 : exclusive ? to.time : of_tokens;
    by_head = exclusive ? to.head : keys * values;
    by_key = !has_key ? 0 : exclusive ? to.key : values;
    by_value = !has_value ? 0 : exclusive ? to.value : 1;
  }
};

// Adds the partial sums: a warp an element of the result where there are many of them, a thread
// where there are few, or where neighbouring elements lie together and fill the device.
template <class C, class S>
struct reduce_gradient {
  gradient_sink<C, S> sink;
  // extents of the result
  index_t leads, tokens, heads, keys, values;
  // terms of a sum along each axis
  index_t lead_terms, token_terms, head_terms, key_terms, value_terms;
  int lanes;

  explicit reduce_gradient(const gradient_sink<C, S>& s, const sizes& n, bool packed) : sink(s) {
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
    const bool wide = key_terms * value_terms == 1 && elements() >= tuned.wide_result;
    lanes = terms() >= 2 * warp_threads && !wide ? warp_threads : 1;
  }
  index_t terms() const {
    return sink.copies * lead_terms * token_terms * head_terms * key_terms * value_terms;
  }
  index_t elements() const { return leads * tokens * heads * keys * values; }
  index_t blocks() const { return ceil_divide(elements() * lanes, threads()); }
  int threads() const { return 128; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t thread = block.index() * block.threads() + block.thread();
    const index_t element = thread / lanes;
    const bool mine = element < leads * tokens * heads * keys * values;
    index_t rest = mine ? element : 0;
    const index_t value = rest % values, key = (rest /= values) % keys,
                  head = (rest /= keys) % heads, token = (rest /= heads) % tokens,
                  lead = rest / tokens;
    const index_t head_at = head * head_terms;
    const index_t of_heads = sink.keys * sink.values, of_tokens = sink.heads * of_heads;
    accumulator<C> sum;
    const auto add = [&](const auto& terms, index_t first, const C* numbers, index_t plane) {
      const index_t count = mine ? terms.size() : 0;
      if (count == 0) return;
      term_walk walk(terms, thread % lanes, lanes);
      const auto next = [&] {
        const index_t o = first + walk.offset();
        walk.advance();
        return o;
      };
      index_t i = thread % lanes;
      constexpr int together = 4;  // read before they are added, in the same order
      for (; i + (together - 1) * lanes < count; i += together * lanes) {
        accumulator<C> x[together];
        unrolled<together>([&](int n) {
          const index_t o = next();
          x[n].re = numbers[o];
          if (sink.to.im != nullptr) x[n].im = numbers[plane + o];
        });
        unrolled<together>([&](int n) { sum.re += x[n].re, sum.im += x[n].im; });
      }
      for (; i < count; i += lanes) {
        const index_t o = next();
        sum.re += numbers[o];
        if (sink.to.im != nullptr) sum.im += numbers[plane + o];
      }
    };
    add(term_axes<6>{{value_terms, key_terms, head_terms, token_terms, lead_terms, sink.copies},
                     {1, sink.values, of_heads, of_tokens, sink.tokens * of_tokens,
                      sink.leads * sink.tokens * of_tokens}},
        ((lead * sink.tokens + token) * sink.heads + head_at) * of_heads + key * sink.values +
            value,
        sink.partial, sink.plane_size());
    if (key == 0 && value == 0)
      add(term_axes<4>{{head_terms, token_terms, lead_terms, sink.cross_sides},
                       {1, sink.heads, sink.tokens * sink.heads,
                        sink.leads * sink.tokens * sink.heads}},
          (lead * sink.tokens + token) * sink.heads + head_at, sink.cross_side,
          sink.cross_side_size());
    for (int m = lanes / 2; m > 0; m /= 2) {
      sum.re += block.shuffle_xor(sum.re, m);
      sum.im += block.shuffle_xor(sum.im, m);
    }
    if (!mine || thread % lanes != 0) return;
    const index_t o = lead * sink.to.batch + token * sink.to.time + head * sink.to.head +
                      key * sink.to.key + value * sink.to.value;
    sink.to.re[o] = convert<S>(sum.re);
    if (sink.to.im != nullptr) sink.to.im[o] = convert<S>(sum.im);
  }
};

template <class Device, class C, class S>
void add_partial_sums(const Device& gpu, const gradient_sink<C, S>& s, const sizes& n,
                      bool packed) {
  if (s.to.given && !s.exclusive) launch(gpu, reduce_gradient<C, S>(s, n, packed));
}

/// The sinks of all gradients of R in format T.
template <class R, class T>
using gradient_sinks_of = typename R::template fields<
    operand_or_gate<gradient_sink<state_t<T>, storage_t<T>>, gradient_sink<state_t<T>, gate_t<T>>>>;

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
