// One problem with its library structures and stored room for every result and gradient, for tests
// that change some of them before the call.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "compare.hpp"
#include "run.hpp"

namespace support {

// the library structures of one problem with room for every result
template <class O, class T>
struct everything {
  using R = recurrence_of<O>;
  explicit everything(const typename O::inputs& given, settings how = {})
      : in(rounded<O, T>(given)), inputs(in, how), like(O::forward(in)) {
    constexpr bool complex_out = requires { like.out.data[0].re; };
    constexpr bool complex_state = requires { like.final_state.data[0].re; };
    const auto dout = random_gradients<O>(like, 3);
    out = room<gatescan::storage_t<T>>(like.out, complex_out, how);
    state = room<gatescan::state_t<T>>(like.final_state, complex_state, how);
    d_out = room<gatescan::storage_t<T>>(like.out, complex_out, how);
    d_state = room<gatescan::state_t<T>>(like.final_state, complex_state, how);
    d_out.write(dout.out);
    d_state.write(dout.final_state);
    O::operands(
        [&](const char* name, auto& x) {
          if (!x.given()) return;
          const bool complex = goes_as_complex(name, x);
          if (std::string(name) == "initial_state")
            made.state = room<gatescan::state_t<T>>(x, complex, how);
          else
            made[name] = room<gatescan::storage_t<T>>(x, complex, how);
        },
        in);
    results.out = out;
    results.final_state = state;
    output_gradients.out = d_out;
    output_gradients.final_state = d_state;
    leave_out_fixed_part(output_gradients.final_state);
    set_operands<R>(gradients, made);
  }

  typename O::inputs in;
  prepared<O, T> inputs;
  typename O::outputs like;
  stored<gatescan::storage_t<T>> out, d_out;
  stored<gatescan::state_t<T>> state, d_state;
  operand_set<T> made;
  typename R::template outputs<T> results;
  typename R::template output_gradients<T> output_gradients;
  typename R::template gradients<T> gradients;
};

// f throws shape_error, its message has each of the words, and e's results are as they were
template <class E, class F>
void expect_refused(E& e, F f, const std::vector<std::string>& words) {
  const auto out = e.out, state = e.state;
  const auto made = e.made;
  try {
    f();
    ADD_FAILURE() << "accepted; expected a refusal that names " << words[0];
  } catch (const gatescan::shape_error& error) {
    for (const std::string& word : words)
      EXPECT_NE(std::string(error.what()).find(word), std::string::npos)
          << "'" << error.what() << "' does not say '" << word << "'";
  }
  EXPECT_TRUE(e.out.same_bytes(out));
  EXPECT_TRUE(e.state.same_bytes(state));
  for (const auto& [name, x] : made.operands)
    EXPECT_TRUE(e.made[name.c_str()].same_bytes(x)) << name;
  EXPECT_TRUE(e.made.state.same_bytes(made.state));
}

}  // namespace support
