#pragma once
// Heads of a group read the same queries and keys, and share their gradients. Where such heads go
// back through a chunk one after another these are added up here, a row of keys a token, and the
// last head hands them on for all: tiles are opened, filled and flushed once.

#include "../tuning.hpp"
#include "reader.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class shared_key_gradients {
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;

 public:
  static constexpr bool possible = reader::may_share_keys && reader::may_have_head_gate_adjoint;

  shared_key_gradients() = default;
  shared_key_gradients(arena& scratch, const matrix_shape& n, index_t tokens) {
    dq_ = scratch.take<C>(tokens * n.rows), dk_ = scratch.take<C>(tokens * n.rows);
  }

  /// Heads from `head` on, itself among them, that share both gradients.
  static index_t heads(const problem_of<R, T>& p, const backward_results<R, T>& r, index_t head) {
    if constexpr (possible) {
      if (!has_head_gate<R>(p.x) || reader::gate_gradient_has_keys(r.d)) return 1;
      index_t sharing = p.n.heads - head;
      const auto bound = [&](const auto& x) {
        sharing = (std::min)(sharing, x.heads_a_group - head % x.heads_a_group);
      };
      bound(R::query(p.x)), bound(R::key(p.x));
      if (R::query(r.d).given) bound(R::query(r.d));
      if (R::key(r.d).given) bound(R::key(r.d));
      return sharing;
    }
    return 1;
  }
  /// Whether `one` of all operands' gradients is one of them.
  template <class Fields>
  static bool is_shared(const Fields& all, const void* one) {
    if constexpr (possible) return one == &R::query(all) || one == &R::key(all);
    return false;
  }

  /// Which of the heads that share comes now.
  void begin(bool first, bool last) { first_ = first, last_ = last; }
  bool follows() const { return !first_; }
  bool hands_on() const { return last_; }
  /// Adds a head's; returns what the last one hands on.
  matrix_gradients<C> add(const matrix_shape& n, index_t tokens,
                          matrix_gradients<C> of_head) const {
    if (first_ && last_) return of_head;
    const index_t size = tokens * n.rows;
    const auto add = [&](C* sum, const C* more) {
      if (first_) return copy_numbers(sum, more, size);
      for (index_t i = 0; i < size; i += simd::lanes<C>)
        simd::store(sum + i, simd::load(sum + i) + simd::load(more + i));
    };
    add(dq_, of_head.dq), add(dk_, of_head.dk);
    of_head.dq = dq_, of_head.dk = dk_;
    return of_head;
  }

 private:
  C *dq_ = nullptr, *dk_ = nullptr;  // [token][rows]
  bool first_ = true, last_ = true;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
