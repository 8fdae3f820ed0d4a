// One problem with every operand, result and gradient in memory of the test's own making: Memory<S>
// is made from a shape or from the numbers to read, whether they are complex, and a place.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "compare.hpp"
#include "run.hpp"
#include "slices.hpp"

namespace support {

template <class T, template <class> class Memory>
struct placed_set {  // as operand_set
  std::map<std::string, Memory<gatescan::storage_t<T>>> operands;
  Memory<gatescan::state_t<T>> state;

  auto& operator[](const char* name) { return operands[name]; }
  template <class>
  auto& of(const char* name) {
    return operands[name];
  }
};

template <class O, class T, template <class> class Memory>
struct placed_problem {
  using R = recurrence_of<O>;

  template <class Place>
  placed_problem(const typename O::inputs& in, const typename O::outputs& dout, const Place& place)
      : like(O::blank(in)) {
    constexpr bool complex_out = requires { like.out.data[0].re; };
    constexpr bool complex_state = requires { like.final_state.data[0].re; };
    O::operands(
        [&](const char* name, const auto& x) {
          if (!x.given()) return;
          const bool complex = goes_as_complex(name, x);
          if (std::string(name) == "initial_state") {
            held.state = {x, complex, place};
            made.state = {x.shape, complex, place};
          } else {
            held[name] = {x, complex, place};
            made[name] = {x.shape, complex, place};
          }
        },
        in);
    set_operands<R>(inputs, held);
    if (const auto n = static_cast<int64>(in.sequence_offsets.size()); n > 0) {
      tensor<int64> numbers({n});
      numbers.data = in.sequence_offsets;
      offsets = {numbers, false, place};
      inputs.sequence_offsets = offsets;
    }
    set_options<R>(inputs, in);
    out = {like.out.shape, complex_out, place};
    state = {like.final_state.shape, complex_state, place};
    d_out = {dout.out, complex_out, place};
    d_state = {dout.final_state, complex_state, place};
    results.out = out, results.final_state = state;
    output_gradients.out = d_out, output_gradients.final_state = d_state;
    leave_out_fixed_part(output_gradients.final_state);
    set_operands<R>(gradients, made);
  }

  void expect_the_bits_of(const typename O::outputs& want) const {
    auto got = want;
    out.read(got.out);
    state.read(got.final_state);
    O::results([](const char* name, auto& g, auto& w) { EXPECT_TRUE(same_bits(g, w)) << name; },
               got, want);
  }
  void expect_the_bits_of(const typename O::inputs& want) {
    O::operands(
        [&](const char* name, const auto& w) {
          if (!w.given()) return;
          auto g = w;
          if (std::string(name) == "initial_state")
            made.state.read(g);
          else
            made[name].read(g);
          EXPECT_TRUE(same_bits(g, w)) << "gradient of " << name;
        },
        want);
  }

  typename O::outputs like;
  placed_set<T, Memory> held, made;
  Memory<int64> offsets;
  Memory<gatescan::storage_t<T>> out, d_out;
  Memory<gatescan::state_t<T>> state, d_state;
  typename R::template inputs<T> inputs;
  typename R::template outputs<T> results;
  typename R::template output_gradients<T> output_gradients;
  typename R::template gradients<T> gradients;
};

}  // namespace support
