#pragma once
// Where gradients go. A thread sums what it knows of an element in an accumulator and leaves it in
// a sink. Where one element of a gradient collects from several threads (grouped heads, parameters
// without a time axis, stride 0, keys whose values lie in several blocks), each leaves a partial
// sum in scratch, and programs add them in a fixed order: no atomics, the same bits every time.

#include <type_traits>

#include "../../../core/problem.hpp"
#include "../../../core/workspace.hpp"
#include "../toolbox.hpp"
#include "cursor.hpp"

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

  /// Where a sum goes, in steps from the result, or from partial sums where it is not exclusive.
  template <class Place>
  GATESCAN_HD index_t place_of(const Place& at, index_t sequence, index_t copy) const {
    const index_t lead = lead_is_sequence ? sequence : at.batch;
    // the token last: what is before it stays the same in a loop over tokens
    return copy * by_copy + lead * by_lead + at.head * by_head + at.value * by_value +
           at.key * by_key + at.time * by_token;
  }
  /// Leaves a thread's sum. `at` has the axes that the operand has.
  template <class Place>
  GATESCAN_HD void store(const Place& at, index_t sequence, index_t copy,
                         const accumulator<C>& sum) const {
    if (to.given) store_at(place_of(at, sequence, copy), sum);
  }
  GATESCAN_HD void store_at(index_t o, const accumulator<C>& sum) const {
    if (exclusive)
      store_in_place(o, sum);
    else
      store_partial(o, sum);
  }
  /// Those of the first `count` of tokens from the place o on, `by_token` apart.
  template <bool IsComplex, class... Sum>
  GATESCAN_HD void store_tokens(index_t o, int count, const Sum&... sums) const {
    if (!IsComplex && exclusive && count >= static_cast<int>(sizeof...(Sum))) {
      S* at = to.re + o;  // of which a step is short
      return ((*at = convert<S>(sums.re), void(at += by_token)), ...);
    }
    int n = 0;
    if (exclusive)
      ((n++ < count ? store_in_place<IsComplex>(o, sums) : void(), o += by_token), ...);
    else
      ((n++ < count ? store_partial<IsComplex>(o, sums) : void(), o += by_token), ...);
  }
  /// f(the first number of the real or imaginary plane): the result's, or that of partial sums.
  template <class F>
  GATESCAN_HD void with_plane(int plane, F&& f) const {
    S* const in_place = plane == 0 ? to.re : to.im;
    C* const in_part = partial + (plane == 0 ? 0 : plane_size());
    if constexpr (std::is_same_v<S, C>)
      f(exclusive ? in_place : in_part);  // one piece of code for both
    else if (exclusive)
      f(in_place);
    else
      f(in_part);
  }
  /// Of a real gradient that goes to complex numbers.
  GATESCAN_HD void store_imaginary_zero(index_t o) const {
    if (exclusive)
      to.im[o] = convert<S>(C(0));
    else
      partial[plane_size() + o] = 0;
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
  template <bool IsComplex = true>
  GATESCAN_HD void store_in_place(index_t o, const accumulator<C>& sum) const {
    to.re[o] = convert<S>(sum.re);
    if (IsComplex && to.im != nullptr) to.im[o] = convert<S>(sum.im);
  }
  template <bool IsComplex = true>
  GATESCAN_HD void store_partial(index_t o, const accumulator<C>& sum) const {
    partial[o] = sum.re;
    if (IsComplex && to.im != nullptr) partial[plane_size() + o] = sum.im;
  }
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

/// The sinks of all gradients of R in format T.
template <class R, class T>
using gradient_sinks_of = typename R::template fields<
    operand_or_gate<gradient_sink<state_t<T>, storage_t<T>>, gradient_sink<state_t<T>, gate_t<T>>>>;

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
