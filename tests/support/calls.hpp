// What tests call, as explicit instantiations: a recurrence's verbs in every mode, and one problem
// run from double to double. The library's kernels are nearly all of what a test costs to compile,
// so they are compiled once (calls.cpp.in); tests see them declared `extern` (every_call.hpp.in).
#pragma once

#include "run.hpp"

// Keyword: `extern`, or nothing to define; R, T: recurrence and format, as types.
#define GATESCAN_TEST_MODE(Keyword, R, T, Mode)                                              \
  Keyword template void gatescan::forward<gatescan::cpu, Mode, R::inputs<T>>(                \
      const gatescan::cpu&, const Mode&, const R::inputs<T>&, const R::outputs<T>&,          \
      const gatescan::workspace&);                                                           \
  Keyword template void gatescan::backward<gatescan::cpu, Mode, R::inputs<T>>(               \
      const gatescan::cpu&, const Mode&, const R::inputs<T>&, const R::output_gradients<T>&, \
      const R::gradients<T>&, const gatescan::workspace&);

#define GATESCAN_TEST_VERBS(Keyword, R, T)                                                  \
  GATESCAN_TEST_MODE(Keyword, R, T, gatescan::recurrent)                                    \
  GATESCAN_TEST_MODE(Keyword, R, T, gatescan::scan)                                         \
  GATESCAN_TEST_MODE(Keyword, R, T, gatescan::chunked)                                      \
  GATESCAN_TEST_MODE(Keyword, R, T, gatescan::attention)                                    \
  GATESCAN_TEST_MODE(Keyword, R, T, gatescan::automatic)                                    \
  Keyword template void gatescan::step<gatescan::cpu, R::token<T>>(                         \
      const gatescan::cpu&, const R::token<T>&, const R::state<T>&, const R::token_out<T>&, \
      const gatescan::workspace&);

// O: the recurrence's case of the tests
#define GATESCAN_TEST_RUNS(Keyword, O, T)                                                        \
  Keyword template O::outputs support::run_forward<O, T>(const support::mode&, const O::inputs&, \
                                                         const support::settings&);              \
  Keyword template O::inputs support::run_backward<O, T>(                                        \
      const support::mode&, const O::inputs&, const O::outputs&, const support::settings&);
