// What tests share beside the library's calls: one problem run from double to double, as explicit
// instantiations.
#pragma once

#include <gatescan_calls.hpp>

#include "../../examples/own_recurrences.hpp"
#include "run.hpp"

// Declares: `template` or `extern template`; O: a case of the tests.
#define GATESCAN_TEST_RUNS(Declares, O, T)                                               \
  Declares O::outputs support::run_forward<O, T>(const support::mode&, const O::inputs&, \
                                                 const support::settings&);              \
  Declares O::inputs support::run_backward<O, T>(const support::mode&, const O::inputs&, \
                                                 const O::outputs&, const support::settings&)
