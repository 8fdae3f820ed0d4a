#pragma once
// Before anything is written or sent: all ranks know that all can begin, that they mean one
// problem, and who has tokens.

#include "../api/execution.hpp"
#include "ranks.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// By which numbers of a state go: ranks that run the same hand them on as they are.
struct kernels {
  bool on_device = false;
  index_t register_bytes = 0;   // of the host
  bool reached_by_mpi = false;  // the memory
};

/// A rank's piece, as the others have to know it.
template <class R, class T>
class agreement {
 public:
  /// Of an operand: bits of whether it is given, complex, and has a gradient that is asked for, and
  /// one that is shared by all tokens.
  static constexpr index_t given = 1, complex = 2, with_gradient = 4, shared_gradient = 8;

  template <class In>
  agreement(const problem_of<R, T>& p, const In& in, bool continues, direction way,
            const kernels& run_by)
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
                            run_by.on_device,
                            run_by.register_bytes,
                            0,
                            0,
                            p.complex};
    std::copy(std::begin(same), std::end(same), mine_.begin() + at_same);
    R::operands(
        [&](const char*, const axes& a, presence, const auto& x, const auto& to) {
          mine_.push_back((x.given() ? given : 0) | (to.complex ? complex : 0));
          add_extents(x, a);
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
          to += an_operand;
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
                               at_packed = 1, at_everywhere = 9, at_complex = 11,
                               first_operand = 15;
  static constexpr int an_operand = 1 + max_rank;       // numbers of one
  static constexpr index_t of_time = -1, no_axis = -2;  // in the place of an extent
  static constexpr const char* names[] = {"backward",
                                          "packed sequences",
                                          "batch",
                                          "heads",
                                          "keys",
                                          "values",
                                          "a normaliser",
                                          "a device",
                                          "bytes of a register",
                                          "final_state_everywhere",
                                          "numbers of final_state",
                                          "complex numbers"};

  static index_t length() {
    typename R::template fields<operand<const T>> x{};
    index_t count = first_operand;
    R::operands([&](auto&&...) { count += an_operand; }, x);
    return count;
  }
  // Kernels, and with them the numbers of a state, are chosen by shapes: a gate a head or a key,
  // heads that share an operand.
  void add_extents(const layout& x, const axes& a) {
    index_t extents[max_rank];
    std::fill(std::begin(extents), std::end(extents), no_axis);
    for (int j = 0; j < a.rank && x.rank > 0; ++j) {
      extents[j] = a.of[j] == axis::time ? of_time : 1;  // of groups, where they are left out
      view_axes(x, a).for_each([&](axis of, int i) {
        if (of == a.of[j] && of != axis::time && i < x.rank) extents[j] = x.shape[i];
      });
    }
    mine_.insert(mine_.end(), std::begin(extents), std::end(extents));
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
        for (std::size_t i = 0; i < at_complex; ++i) check_same(r, i);
        check_operands(r);
        check_same(r, at_complex);  // where it is no operand's, it is the state's
        if ((*this)(r, at_continues) == 0) continue;
        if ((*this)(r, at_time) == 0) refuse(r, "continues", "tokens of the sequence", "none");
        if (nearest(r, -1) < 0) refuse(r, "continues", "a rank before it that has tokens", "none");
      }
    }
    static std::string shape_text(const index_t* extents) {
      list_text text;
      for (int i = 0; i < max_rank && extents[i] != no_axis; ++i)
        text.add(extents[i] == of_time ? "time" : std::to_string(extents[i]));
      return text.end();
    }
    void check_same(int r, std::size_t i) const {
      const index_t want = (*this)(0, at_same + i), got = (*this)(r, at_same + i);
      if (got != want)
        refuse(r, names[i], std::to_string(want) + ", as on rank 0", std::to_string(got));
    }
    void check_operands(int r) const {
      std::size_t i = first_operand;
      typename R::template fields<operand<const T>> x{};
      R::operands(
          [&](const char* name, auto&&...) {
            const index_t want = (*this)(0, i), got = (*this)(r, i);
            const auto extents = [&](int rank) {
              return &all[static_cast<std::size_t>(rank) * width() + i + 1];
            };
            const index_t *const want_extents = extents(0), *const got_extents = extents(r);
            i += an_operand;
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
            if (!std::equal(want_extents, want_extents + max_rank, got_extents))
              refuse(r, name, shape_text(want_extents) + ", as on rank 0", shape_text(got_extents));
          },
          x);
    }
  };

  std::vector<index_t> mine_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
