// A random problem of a recurrence: its sizes, which gates, and which optional operands and forms.
// A case of a recurrence (cases/) says how its problems are made. Everything in double;
// support/run.hpp rounds to the storage under test.
#pragma once

#include <array>
#include <initializer_list>
#include <map>
#include <stdexcept>
#include <string>

#include "exact_numbers.hpp"
#include "generate.hpp"
#include "memory.hpp"

namespace support {

// batches, length, heads (or channels), then rows and columns of a head's state
struct sizes {
  int64 B = 1, L = 1, H = 1, K = 1, V = 1;
  friend std::ostream& operator<<(std::ostream& o, const sizes& s) {
    return o << "B" << s.B << "_L" << s.L << "_H" << s.H << "_K" << s.K << "_V" << s.V;
  }
};

// An optional operand, or one of the forms that an operand can have, and whether problems have it
// unless a test says otherwise.
struct option_switch {
  const char* name;
  bool usual;
};

struct options {
  gates gate = gates::mild;
  bool initial_state = true;
  int64 sequences = 0;                   // 0: not packed; else B must be 1
  int64 group = 1;                       // heads that share one operand head, for some operands
  std::map<std::string, bool> switches;  // of the case; those that are not here are as usual

  bool is(const char* name) const { return switches.at(name); }
  friend std::ostream& operator<<(std::ostream& o, const options& c) {
    o << c.gate << (c.initial_state ? " initial_state" : "") << " sequences=" << c.sequences
      << " group=" << c.group;
    for (const auto& [name, on] : c.switches) o << (on ? " " : " no ") << name;
    return o;
  }
};

// What a recurrence is in the tests: O is its oracle. Specialisations (cases/) have
//   recurrence                  the library's
//   switches                    a list of option_switch
//   make(in, n, c, g)           random operands
//   make_exact(in, n, c, g)     operands whose arithmetic is exact (exact_numbers.hpp)
template <class O>
struct case_of;

// Switch number i of the case is on where bit i is set.
template <class O>
void turn_all(options& c, unsigned bits) {
  for (const option_switch& s : case_of<O>::switches) c.switches[s.name] = bits & 1u, bits >>= 1;
}
// Those of these switches that the case has.
template <class O>
void turn(options& c, std::initializer_list<const char*> names, bool on) {
  for (const option_switch& s : case_of<O>::switches)
    for (const std::string name : names)
      if (name == s.name) c.switches[name] = on;
}
template <class O>
constexpr int switch_count = static_cast<int>(std::size(case_of<O>::switches));

inline int64 sequence_count(const sizes& n, const options& c) {
  return c.sequences > 0 ? c.sequences : n.B;
}

// the options with every switch of the case, and no other
template <class O>
options completed(options c) {
  std::map<std::string, bool> all;
  for (const option_switch& s : case_of<O>::switches) {
    const auto chosen = c.switches.extract(s.name);
    all[s.name] = chosen.empty() ? s.usual : chosen.mapped();
  }
  if (!c.switches.empty())
    throw std::invalid_argument("no switch of this case: " + c.switches.begin()->first);
  c.switches = all;
  return c;
}

template <class O>
typename O::inputs problem(const sizes& n, const options& some, std::uint64_t seed) {
  const options c = completed<O>(some);
  generator g(seed);
  typename O::inputs in;
  case_of<O>::make(in, n, c, g);
  if (c.sequences > 0) in.sequence_offsets = g.offsets(c.sequences, n.L);
  return in;
}
template <class O>
typename O::inputs exact_problem(const sizes& n, const options& some, std::uint64_t seed) {
  const options c = completed<O>(some);
  generator g(seed);
  typename O::inputs in;
  case_of<O>::make_exact(in, n, c, g);
  if (c.sequences > 0) in.sequence_offsets = g.offsets(c.sequences, n.L);
  return in;
}

// a random gradient of both results; none of what is infinite (m of a state that is empty)
template <class O>
typename O::outputs random_gradients(const typename O::outputs& like, std::uint64_t seed) {
  generator g(seed);
  typename O::outputs r = like;
  const auto fill = [&g](const char*, auto& x) {
    for (auto& e : x.data) {
      if constexpr (requires { e.re; })
        e = {g.normal(), g.normal()};
      else
        e = std::isinf(e) ? 0 * g.normal() : g.normal();
    }
  };
  O::results(fill, r);
  return r;
}

// integers
template <class O>
typename O::outputs exact_gradients(const typename O::outputs& like, std::uint64_t seed) {
  generator g(seed);
  typename O::outputs r = like;
  O::results(
      [&g](const char*, auto& x) {
        for (auto& e : x.data) {
          const auto integer = [&g] { return static_cast<double>(g.between(-2, 2)); };
          if constexpr (requires { e.re; })
            e = {integer(), integer()};
          else
            e = integer();
        }
      },
      r);
  return r;
}

}  // namespace support
