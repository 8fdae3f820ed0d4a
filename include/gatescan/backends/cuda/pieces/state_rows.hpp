#pragma once
// States on their way between pieces of time: a row of scratch for each sequence, in the caller's
// numbers, and the programs that fill it from the caller's memory and empty it there.

#include "../operands/gradients.hpp"
#include "../tuning.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// States of all sequences in scratch: [sequence][part][plane][head][key][value].
template <class R, class T>
class state_rows {
  using C = state_t<T>;

 public:
  template <class U>
  explicit state_rows(const problem_of<R, U>& p) : n_(p.n), planes_(p.complex ? 2 : 1) {
    // the product first: its address is the rows'
    for_each([&](state_part which, const axes&, index_t numbers) {
      if (which == state_part::product || p.normalised) row_ += numbers;
    });
    normalised_ = p.normalised;
  }
  void take(arena& memory) { first_ = memory.take<C>(n_.sequences * row_); }
  C* row(index_t sequence) const { return first_ + sequence * row_; }
  std::size_t bytes_of_row() const { return static_cast<std::size_t>(row_) * sizeof(C); }

  /// Gradients have no log_scale.
  template <class U = C>
  state_operands<U> operands(bool gradients = false) const {
    state_operands<U> all;
    index_t at = 0;
    for_each([&](state_part which, const axes& a, index_t numbers) {
      if (which != state_part::product && !normalised_) return;
      const index_t here = at;
      at += numbers;
      if (gradients && which == state_part::log_scale) return;
      operand<U> x;
      x.given = true, x.complex = planes_ == 2;
      x.re = first_ + here, x.im = x.complex ? x.re + numbers / 2 : nullptr;
      x.batch = row_, x.value = has_values(a) ? 1 : 0;
      x.key = has_keys(a) ? values(a) : 0, x.head = keys(a) * values(a);
      all[which] = x;
    });
    return all;
  }
  /// f(which part, its axes, numbers of a sequence).
  template <class F>
  void for_each(F&& f) const {
    typename R::template inputs<T> in{};
    for_each_part<R>(
        [&](state_part which, const char*, const axes& a, const auto&) {
          f(which, a,
            n_.heads * keys(a) * values(a) * (which == state_part::product ? planes_ : 1));
        },
        in.initial_state);
  }
  index_t keys(const axes& a) const { return has_keys(a) ? n_.keys : 1; }
  index_t values(const axes& a) const { return has_values(a) ? n_.values : 1; }
  const sizes& n() const { return n_; }

 private:
  static bool has_keys(const axes& a) { return a.has(axis::key) || a.has(axis::key_or_one); }
  static bool has_values(const axes& a) {
    return a.has(axis::value) || a.has(axis::value_or_one) || a.has(axis::channel);
  }

  sizes n_;
  index_t planes_, row_ = 0;
  bool normalised_ = false;
  C* first_ = nullptr;
};

/// Sequences [first, last) of a part of a state to another place; where there is none to copy, a
/// number. A thread a number.
template <class C>
struct copy_state {
  operand<const C> from;
  operand<C> to;
  index_t first, last, heads, keys, values;
  C otherwise;

  index_t blocks() const {
    return last > first ? ceil_divide((last - first) * heads * keys * values, threads()) : 0;
  }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    index_t rest = block.index() * block.threads() + block.thread();
    if (rest >= (last - first) * heads * keys * values) return;
    const index_t value = rest % values, key = (rest /= values) % keys,
                  head = (rest /= keys) % heads, sequence = first + rest / heads;
    const auto place = [&](const auto& x) {
      return x.offset(sequence, 0, head) + key * x.key + value * x.value;
    };
    to.re[place(to)] = from.given ? from.re[place(from)] : otherwise;
    if (to.im != nullptr) to.im[place(to)] = from.im != nullptr ? from.im[place(from)] : C(0);
  }
};

/// Gradients of the first states of all sequences but the first one, whose own went beside.
template <class C>
struct store_state_gradient {
  operand<const C> from;
  gradient_sink<C, C> to;
  index_t sequences, heads, keys, values;

  index_t blocks() const { return ceil_divide(sequences * heads * keys * values, threads()); }
  int threads() const { return tuned.block_threads; }
  int shared_bytes() const { return 0; }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    index_t rest = block.index() * block.threads() + block.thread();
    if (rest >= sequences * heads * keys * values) return;
    const index_t value = rest % values, key = (rest /= values) % keys,
                  head = (rest /= keys) % heads, sequence = rest / heads;
    const index_t place = from.offset(sequence, 0, head) + key * from.key + value * from.value;
    accumulator<C> sum;
    if (sequence > 0) sum.re = from.re[place];
    if (sequence > 0 && from.im != nullptr) sum.im = from.im[place];
    if (sequence > 0 || !to.exclusive)  // a partial sum is read
      to.store(cursor<C, false>{sequence, 0, head, key, value}, sequence, 0, sum);
  }
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
