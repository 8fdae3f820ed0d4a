// Which library structures belong to which oracle, and which member takes which stored operand.
#pragma once

#include <map>
#include <string>
#include <type_traits>

#include "problems.hpp"
#include "stored.hpp"

namespace support {

template <class T>
struct operand_set {  // by name; what is absent is not given
  std::map<std::string, stored<gatescan::storage_t<T>>> operands;
  stored<gatescan::state_t<T>> state;  // initial_state or final_state
  memory<int64> offsets;

  auto& operator[](const char* name) { return operands[name]; }
};

// `operands` gives a library structure what a set has under each name.
template <class O>
struct binding;

template <class E>
struct binding<oracle::elementwise<E>> {
  using recurrence = gatescan::elementwise;
  template <class To, class From>
  static void operands(To& to, From& from) {
    to.a = from["a"];
    to.x = from["x"];
    to.initial_state = from.state;
  }
  template <class T>
  static auto problem(const typename oracle::elementwise<E>::inputs& in, int64 sequences) {
    return gatescan::elementwise::problem<T>{.batch = in.x.extent(0),
                                             .time = in.x.extent(1),
                                             .heads = in.heads(),
                                             .channels = in.x.extent(3),
                                             .complex = !std::is_same_v<E, double>,
                                             .sequences = sequences};
  }
};

template <class Recurrence, class T, class Inputs>
auto matrix_problem(const Inputs& in, int64 heads, int64 sequences) {
  using problem = typename Recurrence::template problem<T>;
  return problem{.batch = in.q.extent(0),
                 .time = in.q.extent(1),
                 .heads = heads,
                 .keys = in.q.extent(3),
                 .values = in.v.extent(3),
                 .sequences = sequences};
}

template <>
struct binding<gateloop> {
  using recurrence = gatescan::gateloop;
  template <class To, class From>
  static void operands(To& to, From& from) {
    to.q = from["q"];
    to.k = from["k"];
    to.v = from["v"];
    to.log_magnitude = from["log_magnitude"];
    to.phase = from["phase"];
    to.a = from["a"];
    to.initial_state = from.state;
  }
  template <class T>
  static auto problem(const gateloop::inputs& in, int64 sequences) {
    const auto out = gateloop::blank(in).out;
    return matrix_problem<recurrence, T>(in, out.extent(2), sequences);
  }
};

template <>
struct binding<gla> {
  using recurrence = gatescan::gla;
  template <class To, class From>
  static void operands(To& to, From& from) {
    to.q = from["q"];
    to.k = from["k"];
    to.v = from["v"];
    to.log_decay = from["log_decay"];
    to.initial_state = from.state;
  }
  template <class T>
  static auto problem(const gla::inputs& in, int64 sequences) {
    const auto out = gla::blank(in).out;
    return matrix_problem<recurrence, T>(in, out.extent(2), sequences);
  }
};

template <>
struct binding<selective_scan> {
  using recurrence = gatescan::selective_scan;
  template <class To, class From>
  static void operands(To& to, From& from) {
    to.u = from["u"];
    to.delta = from["delta"];
    to.A = from["A"];
    to.B = from["B"];
    to.C = from["C"];
    to.D = from["D"];
    to.z = from["z"];
    to.delta_bias = from["delta_bias"];
    to.initial_state = from.state;
  }
  template <class T>
  static auto problem(const selective_scan::inputs& in, int64 sequences) {
    using problem = gatescan::selective_scan::problem<T>;
    return problem{.batch = in.u.extent(0),
                   .time = in.u.extent(1),
                   .channels = in.u.extent(2),
                   .states = in.A.extent(1),
                   .groups = in.B.extent(2),
                   .sequences = sequences};
  }
};

}  // namespace support
