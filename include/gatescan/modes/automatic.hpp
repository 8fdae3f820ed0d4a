#pragma once
// Picks a mode from the shape and the direction. Never from the number of threads: that must not
// change the answer.

#include <string>

#include "chunked.hpp"
#include "recurrent.hpp"
#include "scan.hpp"

namespace gatescan {
inline namespace GATESCAN_TYPES {

struct automatic {
  static constexpr const char* name = "automatic";
  template <class R>
  static constexpr bool supports = recurrence<R>;

  static constexpr index_t few_tokens = 16, long_sequence = 4096;

  template <class R, class F>
  static auto choose(index_t longest, const preferences& best, direction way, F&& f) {
    // the summary of a corrected segment is more work than the segment
    if constexpr (scannable<R> && R::form.moves == transition::diagonal)
      if (longest >= long_sequence && best.few_parts())
        return f(scan{},
                 "a long sequence and few independent heads: time is what can run in parallel");
    if constexpr (attention_form<R>) {
      if constexpr (R::form.gate == gate_span::entry) {
        if constexpr (R::form.normaliser)
          if (longest >= few_tokens)
            return f(chunked{},
                     "weights of a few tokens count against one m, where the backend has that");
        return f(recurrent{}, "with a gate for every state entry, chunks save nothing");
      } else {
        if (longest < few_tokens) return f(recurrent{}, "fewer tokens than a chunk");
        if (!best.chunks_pay(way))
          return f(recurrent{}, "a small state: what chunks cost besides is more than they save");
        return f(chunked{}, "chunks turn most of the work into matrix products");
      }
    } else {
      return f(recurrent{}, scannable<R> ? "enough independent parts to run side by side"
                                         : "the recurrence has a step only");
    }
  }

  /// f(mode) for every mode that choose may pick for operands of any strides, with sequences of
  /// `longest` tokens or, where they may be `shorter` too, fewer.
  template <class R, class F>
  static void for_each(index_t longest, bool shorter, const preferences& best, direction way,
                       F&& f) {
    if constexpr (scannable<R> && R::form.moves == transition::diagonal)
      if (longest >= long_sequence && best.few_parts()) {
        f(scan{});
        if (!shorter) return;
      }
    if constexpr (attention_form<R> && (R::form.gate != gate_span::entry || R::form.normaliser))
      if (longest >= few_tokens) {
        f(chunked{});
        if (!shorter && (R::form.gate == gate_span::entry || best.chunks_always_pay(way))) return;
      }
    f(recurrent{});
  }
};

}  // namespace GATESCAN_TYPES
}  // namespace gatescan
