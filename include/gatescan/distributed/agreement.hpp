#pragma once
// Before anything is written or sent: all ranks know that all can begin, that they mean one
// problem, and who has tokens.

#include "../api/execution.hpp"
#include "ranks.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// A rank's piece, as the others have to know it.
template <class R, class T>
class agreement {
 public:
  /// Of an operand: bits of whether it is given, complex, and has a gradient that is asked for, and
  /// one that is shared by all tokens.
  static constexpr index_t given = 1, complex = 2, with_gradient = 4, shared_gradient = 8;

  template <class In>
  agreement(const problem_of<R, T>& p, const In& in, bool continues, direction way)
      : mine_(first_operand, 0) {
    const index_t batch = p.offsets != nullptr ? 1 : p.n.batch;
    mine_[at_time] = p.n.time;
    mine_[at_continues] = continues;
    const index_t same[] = {way == direction::backward,
                            p.offsets != nullptr,
                            batch,
                            p.n.heads,
                            p.n.keys,
                            p.n.values,
                            p.normalised,
                            static_cast<index_t>(simd::register_bytes),
                            0,
                            0};
    std::copy(std::begin(same), std::end(same), mine_.begin() + at_same);
    R::operands(
        [&](const char*, const axes&, presence, const auto& x, const auto& to) {
          mine_.push_back((x.given() ? given : 0) | (to.complex ? complex : 0));
        },
        in, p.x);
  }
  /// Of forward: whether all ranks get the final state, and give it room.
  void wants_state_everywhere(bool wanted, index_t numbers_of_room) {
    mine_[at_same + at_everywhere] = wanted;
    mine_[at_same + at_everywhere + 1] = wanted ? numbers_of_room : 0;
  }
  /// Of backward: which gradients the ranks want.
  template <class Gradients>
  void add(const Gradients& d) {
    auto to = mine_.begin() + first_operand;
    R::operands(
        [&](const char*, const axes& a, presence, const auto& x) {
          if (x.given()) *to |= with_gradient | (is_shared(x, a) ? shared_gradient : 0);
          ++to;
        },
        d);
  }
  /// A gradient to which every token adds.
  static bool is_shared(const layout& x, const axes& a) {
    bool in_time = false;
    view_axes(x, a).for_each(
        [&](axis of, int i) { in_time = in_time || (of == axis::time && x.stride[i] != 0); });
    return x.rank != 0 && !in_time;
  }

  /// Throws on all ranks, in the same words, what any has caught, or where they disagree. Else sets
  /// the way of this rank's states.
  static void reach(const ranks& all, const failure& caught, const agreement* own, path& way) {
    std::vector<index_t> mine(static_cast<std::size_t>(length()), 0);
    if (own != nullptr) mine = own->mine_;
    mine[at_failure] = caught.kind;
    const table t{all.gather(mine), all.count()};
    for (int r = 0; r < all.count(); ++r)
      if (t(r, at_failure) != failure::none) caught.raise_everywhere(all, r);
    t.check();
    const int here = all.own();
    way.before = t.nearest(here, -1), way.after = t.nearest(here, 1);
    const bool packed = t(0, at_same + at_packed) != 0, any = t(here, at_time) > 0;
    const bool goes_on = way.after < all.count();
    way.beside.before = any && (packed ? t(here, at_continues) != 0 : way.before >= 0);
    way.beside.after = any && goes_on && (!packed || t(way.after, at_continues) != 0);
    way.last = (std::max)(t.nearest(all.count(), -1), 0);
    way.nobody_has_tokens = !any && !goes_on && way.before < 0;
  }

 private:
  static constexpr std::size_t at_failure = 0, at_time = 1, at_continues = 2, at_same = 3,
                               at_packed = 1, at_everywhere = 8, first_operand = 13;
  static constexpr const char* names[] = {"backward",
                                          "packed sequences",
                                          "batch",
                                          "heads",
                                          "keys",
                                          "values",
                                          "a normaliser",
                                          "bytes of a register",
                                          "final_state_everywhere",
                                          "numbers of final_state"};

  static index_t length() {
    typename R::template fields<operand<const T>> x{};
    index_t count = first_operand;
    R::operands([&](auto&&...) { ++count; }, x);
    return count;
  }
  struct table {
    std::vector<index_t> all;
    int ranks;

    std::size_t width() const { return all.size() / static_cast<std::size_t>(ranks); }
    index_t operator()(int rank, std::size_t i) const {
      return all[static_cast<std::size_t>(rank) * width() + i];
    }
    int nearest(int from, int step) const {
      int r = from + step;
      while (r >= 0 && r < ranks && (*this)(r, at_time) == 0) r += step;
      return r;
    }
    [[noreturn]] static void refuse(int rank, const std::string& what, const std::string& expected,
                                    const std::string& got) {
      fail<shape_error>("rank " + std::to_string(rank) + ": " + what + ": expected " + expected +
                        ", got " + got);
    }
    void check() const {
      for (int r = 0; r < ranks; ++r) {
        for (std::size_t i = 0; i < std::size(names); ++i)
          if (const index_t want = (*this)(0, at_same + i), got = (*this)(r, at_same + i);
              got != want)
            refuse(r, names[i], std::to_string(want) + ", as on rank 0", std::to_string(got));
        check_operands(r);
        if ((*this)(r, at_continues) == 0) continue;
        if ((*this)(r, at_time) == 0) refuse(r, "continues", "tokens of the sequence", "none");
        if (nearest(r, -1) < 0) refuse(r, "continues", "a rank before it that has tokens", "none");
      }
    }
    void check_operands(int r) const {
      std::size_t i = first_operand;
      typename R::template fields<operand<const T>> x{};
      R::operands(
          [&](const char* name, auto&&...) {
            const index_t want = (*this)(0, i), got = (*this)(r, i);
            ++i;
            const auto check = [&](index_t bit, const char* what) {
              if ((want & bit) != (got & bit))
                refuse(r, std::string(what) + name,
                       (want & bit) ? "one, as on rank 0" : "none, as on rank 0",
                       (got & bit) ? "one" : "none");
            };
            check(given, "");
            check(complex, "imaginary part of ");
            check(with_gradient, "gradient of ");
            check(shared_gradient, "sum over time in the gradient of ");
          },
          x);
    }
  };

  std::vector<index_t> mine_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
