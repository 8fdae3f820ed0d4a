#pragma once
// States of the caller's format, in double and dense for a while.

#include <span>

#include "../../../../core/operand.hpp"
#include "../../../../core/workspace.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Copies of states [sequence][channel] of one or two planes, in scratch memory. Without that it
/// measures only.
template <class Narrow>
class wide_states {
 public:
  wide_states(const sizes& n, std::span<std::byte> scratch)
      : sequences_(n.sequences), channels_(n.heads) {
    arena memory(scratch), measure;  // others follow: the same bytes wherever the memory starts
    for (double*& room : rooms_) {
      room = memory.take<double>(2 * plane());
      measure.take<double>(2 * plane());
    }
    bytes_ = measure.bytes_needed();
  }
  std::size_t bytes() const { return bytes_; }

  /// A state that goes in; backward has two, the gradient of the final state being one.
  operand<const double> in(const operand<const Narrow>& from, int which) const {
    double* const to = rooms_[which];
    if (to != nullptr && from.given)
      for_each(from, [&](index_t here, index_t at) {
        to[at] = static_cast<double>(from.re[here]);
        if (from.im != nullptr) to[plane() + at] = static_cast<double>(from.im[here]);
      });
    return dense<const double>(from, to);
  }
  operand<double> out(const operand<Narrow>& to) const { return dense<double>(to, rooms_[2]); }
  void finish(const operand<Narrow>& to) const {
    if (!to.given) return;
    put(to, to.re, rooms_[2]);
    if (to.im != nullptr) put(to, to.im, rooms_[2] + plane());
  }

 private:
  // Where several have one place (a gradient with stride 0), their sum, in order.
  void put(const operand<Narrow>& to, Narrow* re_or_im, double* from) const {
    const bool one_sequence = to.batch == 0, one_head = to.value == 0;
    for (index_t s = 0; s < sequences_; ++s)
      for (index_t j = 0; j < channels_; ++j) {
        double& sum = from[(one_sequence ? 0 : s * channels_) + (one_head ? 0 : j)];
        const double x = from[s * channels_ + j];
        if (&sum != from + s * channels_ + j) sum += x;
      }
    for_each(to, [&](index_t there, index_t at) {
      const index_t j = one_head ? 0 : at % channels_, s = one_sequence ? 0 : at / channels_;
      re_or_im[there] = static_cast<Narrow>(from[s * channels_ + j]);
    });
  }
  index_t plane() const { return sequences_ * channels_; }
  // f(place in the caller's state, place in the copy)
  template <class S, class F>
  void for_each(const operand<S>& x, F&& f) const {
    for (index_t s = 0; s < sequences_; ++s)
      for (index_t j = 0; j < channels_; ++j) f(x.offset(s, 0, 0) + j * x.value, s * channels_ + j);
  }
  template <class D, class S>
  operand<D> dense(const operand<S>& like, double* room) const {
    operand<D> x;
    x.given = like.given;
    if (!x.given) return x;
    x.re = room;
    x.complex = like.complex;
    if (x.complex && room != nullptr) x.im = room + plane();
    x.batch = channels_, x.value = 1;
    return x;
  }

  index_t sequences_, channels_;
  double* rooms_[3] = {};
  std::size_t bytes_ = 0;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
