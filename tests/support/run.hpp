// One library call from double tensors to double tensors: stores the operands in the format under
// test, poisons what will be written, calls, checks the guards, and reads back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <set>
#include <span>

#include "operand_set.hpp"

namespace support {

struct mode {
  enum kinds { recurrent, scan, chunked, attention } kind = recurrent;
  int chunk = 0;  // or segments; 0: the library's default
  friend std::ostream& operator<<(std::ostream& o, const mode& m) {
    const char* names[] = {"recurrent", "scan", "chunked", "attention"};
    o << names[m.kind];
    return m.chunk > 0 ? o << "{" << m.chunk << "}" : o;
  }
};

// The modes of a list that the case's recurrence has.
template <class O>
std::vector<mode> modes_of(std::vector<mode> list) {
  using R = recurrence_of<O>;
  std::erase_if(list, [](const mode& m) {
    return (m.kind == mode::scan && !gatescan::scan::supports<R>) ||
           (m.kind == mode::chunked && !gatescan::chunked::supports<R>) ||
           (m.kind == mode::attention && !gatescan::attention::supports<R>);
  });
  return list;
}

// f(the library's mode), one that the case's recurrence has
template <class O, class F>
auto with_mode(const mode& m, F f) {
  using R = recurrence_of<O>;
  if constexpr (gatescan::scan::supports<R>)
    if (m.kind == mode::scan) return f(gatescan::scan{m.chunk});
  if constexpr (gatescan::chunked::supports<R>)
    if (m.kind == mode::chunked)
      return m.chunk > 0 ? f(gatescan::chunked{m.chunk}) : f(gatescan::chunked{});
  if constexpr (gatescan::attention::supports<R>)
    if (m.kind == mode::attention) return f(gatescan::attention{});
  if (m.kind != mode::recurrent) throw std::invalid_argument("no such mode of this recurrence");
  return f(gatescan::recurrent{});
}

struct settings {
  int threads = 1;
  layouts layout = layouts::dense;
  unsigned char poison = poison_nan;  // of everything that the call must write
  std::set<std::string> unwanted;     // results and gradients that are not asked for
  bool planned = false;               // through a plan with a poisoned workspace
};

// Where numbers of a format are computed with, and as which format of the library. Programs that
// run on a device say so (tests/device).
#if defined(__CUDACC__)
template <class T>
struct backend_of {
  using format = T;
  static gatescan::cuda make(const settings&) { return {}; }
};
#else
template <class T>
struct backend_of {
  using format = T;
  static gatescan::cpu make(const settings& how) { return {.threads = how.threads}; }
};
#endif

// The gates, queries and keys of a complex problem are handed over as real views when they are real
// (and not all zero, so that a piece of a complex one is complex too).
template <class T>
bool goes_as_complex(const std::string& name, const tensor<T>& x) {
  if constexpr (requires { x.data[0].re; }) {
    const bool may_be_real = name == "a" || name == "q" || name == "k";
    const auto is_real = [](const T& e) { return e.im == 0; };
    const auto is_zero = [](const T& e) { return e == T{}; };
    return !may_be_real || !std::all_of(x.data.begin(), x.data.end(), is_real) ||
           std::all_of(x.data.begin(), x.data.end(), is_zero);
  }
  return false;
}

template <class S, class T>
stored<S> store(const char* name, const tensor<T>& x, layouts kind) {
  if (!x.given()) return {};
  stored<S> r(x.shape, goes_as_complex(name, x), kind, poison_number);
  r.write(x);
  return r;
}

// the numbers that the library really gets
template <class S, class T>
void round_to(tensor<T>& x) {
  const auto round = [](double e) { return from_storage(to_storage<S>(e)); };
  for (auto& e : x.data) {
    if constexpr (requires { e.re; })
      e = {round(e.re), round(e.im)};
    else
      e = round(e);
  }
}
template <class O, class T, class Inputs>
Inputs rounded(Inputs in) {
  O::operands(
      [](const char* name, auto& x) {
        if (std::string(name) == "initial_state")
          round_to<gatescan::state_t<T>>(x);
        else
          with_storage<recurrence_of<O>, T>(name, [&]<class S>() { round_to<S>(x); });
      },
      in);
  return in;
}
template <class O, class T>
typename O::outputs rounded_results(typename O::outputs out) {
  O::results(
      [](const char* name, auto& x) {
        if (std::string(name) == "final_state")
          round_to<gatescan::state_t<T>>(x);
        else
          round_to<gatescan::storage_t<T>>(x);
      },
      out);
  return out;
}

template <class O, class T>
struct prepared {
  using R = recurrence_of<O>;

  prepared(const typename O::inputs& in, const settings& how) {
    held.offsets.assign(in.sequence_offsets.begin(), in.sequence_offsets.end());
    O::operands(
        [&](const char* name, auto& x) {
          if (std::string(name) == "initial_state")
            held.state = store<gatescan::state_t<T>>(name, x, how.layout);
          else
            with_storage<R, T>(name, [&]<class S>() {
              held.template of<S>(name) = store<S>(name, x, how.layout);
            });
        },
        in);
    set_operands<R>(lib, held);
    if (!held.offsets.empty())
      lib.sequence_offsets = {held.offsets.data(), {static_cast<int64>(held.offsets.size())}};
    set_options<R>(lib, in);
  }

  operand_set<T> held;
  typename R::template inputs<T> lib;
};

template <class S, class T>
stored<S> room(const tensor<T>& like, bool complex, const settings& how) {
  return {like.shape, complex, how.layout, how.poison};
}

// A workspace of exactly the bytes asked for, poisoned, with guards. It starts anywhere in a cache
// line, each at another place: bytes that are enough are enough wherever the memory starts.
struct workspace {
  workspace(std::size_t bytes, unsigned char poison)
      : poison_(poison), memory_(bytes + 2 * guard + 2 * line, std::byte{poison}) {
    static std::atomic<std::size_t> made{0};
    const auto address = reinterpret_cast<std::uintptr_t>(memory_.data()) + guard;
    first_ = guard + (line - address % line) % line + 25 * made++ % line;  // 25: all 64 in turn
    bytes_ = bytes;
  }
  std::span<std::byte> span() { return {memory_.data() + first_, bytes_}; }
  bool guards_intact() const {
    for (std::size_t i = 0; i < memory_.size(); ++i)
      if ((i < first_ || i >= first_ + bytes_) && memory_[i] != std::byte{poison_}) return false;
    return true;
  }

 private:
  static constexpr std::size_t guard = 256, line = 64;
  unsigned char poison_;
  memory<std::byte> memory_;
  std::size_t first_ = 0, bytes_ = 0;
};

// call(inputs, results) in the library's terms, which it is to write. Returns what they hold then.
template <class O, class T, class Call>
typename O::outputs call_forward(const typename O::inputs& in, const settings& how, Call call) {
  using R = recurrence_of<O>;
  using F = typename backend_of<T>::format;
  prepared<O, F> p(in, how);
  typename O::outputs like = O::blank(in), result;
  const bool complex_state = requires { like.final_state.data[0].re; };
  const bool complex_out = requires { like.out.data[0].re; };
  auto out = room<gatescan::storage_t<T>>(like.out, complex_out, how);
  auto state = room<gatescan::state_t<T>>(like.final_state, complex_state, how);
  typename R::template outputs<F> lib;
  lib.out = out;
  const bool wants_state = how.unwanted.count("final_state") == 0;
  if (wants_state) lib.final_state = state;
  call(p.lib, lib);
  EXPECT_TRUE(out.guards_intact()) << "out";
  EXPECT_TRUE(state.guards_intact()) << "final_state";
  out.read(result.out);
  if (wants_state) state.read(result.final_state);
  return result;
}

template <class O, class T>
typename O::outputs run_forward(const mode& m, const typename O::inputs& in,
                                const settings& how = {}) {
  return call_forward<O, T>(in, how, [&](const auto& lib_in, const auto& lib) {
    with_mode<O>(m, [&](auto chosen) {
      const auto backend = backend_of<T>::make(how);
      if (how.planned) {
        const gatescan::plan plan(backend, chosen, problem_of<recurrence_of<O>>(lib_in));
        workspace w(plan.workspace_bytes(), how.poison);
        plan.forward(lib_in, lib, {w.span()});
        EXPECT_TRUE(w.guards_intact()) << "workspace";
      } else {
        gatescan::forward(backend, chosen, lib_in, lib);
      }
      finish(backend);
    });
  });
}

// The same of call(inputs, gradients of results, gradients). dout: an absent tensor is not given
template <class O, class T, class Call>
typename O::inputs call_backward(const typename O::inputs& in, const typename O::outputs& dout,
                                 const settings& how, Call call) {
  using R = recurrence_of<O>;
  using s = gatescan::storage_t<T>;
  using S = gatescan::state_t<T>;
  using Format = typename backend_of<T>::format;
  prepared<O, Format> p(in, how);
  const auto give = [&]<class F, class X>(F, const X& x) {
    using E = std::decay_t<decltype(x.data[0])>;
    stored<F> r;
    if (x.given()) r = stored<F>(x.shape, !std::is_same_v<E, double>, how.layout, poison_number);
    if (x.given()) r.write(x);
    return r;
  };
  auto out = give(s{}, dout.out);
  auto state = give(S{}, dout.final_state);
  typename R::template output_gradients<Format> lib_dout;
  lib_dout.out = out;
  lib_dout.final_state = state;
  leave_out_fixed_part(lib_dout.final_state);

  operand_set<Format> made;
  O::operands(
      [&](const char* name, auto& x) {
        if (!x.given() || how.unwanted.count(name) > 0) return;
        const bool complex = goes_as_complex(name, x);
        if (std::string(name) == "initial_state")
          made.state = room<S>(x, complex, how);
        else
          with_storage<R, T>(
              name, [&]<class G>() { made.template of<G>(name) = room<G>(x, complex, how); });
      },
      in);
  typename R::template gradients<Format> lib_gradients;
  set_operands<R>(lib_gradients, made);

  call(p.lib, lib_dout, lib_gradients);

  typename O::inputs result;
  O::operands(
      [&](const char* name, auto& x) {
        if (std::string(name) == "initial_state") {
          EXPECT_TRUE(made.state.guards_intact()) << "gradient of initial_state";
          if (made.state.given()) made.state.read(x);
        } else {
          with_storage<R, T>(name, [&]<class G>() {
            const auto& gradient = made.template of<G>(name);
            if (!gradient.given()) return;
            EXPECT_TRUE(gradient.guards_intact()) << "gradient of " << name;
            gradient.read(x);
          });
        }
      },
      result);
  return result;
}
template <class O, class T>
typename O::inputs run_backward(const mode& m, const typename O::inputs& in,
                                const typename O::outputs& dout, const settings& how = {}) {
  return call_backward<O, T>(
      in, dout, how, [&](const auto& lib_in, const auto& lib_dout, const auto& lib_gradients) {
        with_mode<O>(m, [&](auto chosen) {
          const auto backend = backend_of<T>::make(how);
          if (how.planned) {
            const gatescan::plan plan(backend, chosen, problem_of<recurrence_of<O>>(lib_in));
            workspace w(plan.workspace_bytes(lib_in, lib_gradients), how.poison);
            plan.backward(lib_in, lib_dout, lib_gradients, {w.span()});
            EXPECT_TRUE(w.guards_intact()) << "workspace";
          } else {
            gatescan::backward(backend, chosen, lib_in, lib_dout, lib_gradients);
          }
          finish(backend);
        });
      });
}

}  // namespace support
