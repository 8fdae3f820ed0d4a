// Every recurrence of recurrences/all.hpp in plain loops and as problems of the tests.
#pragma once

#include "elementwise.hpp"      // IWYU pragma: export
#include "gated_delta_net.hpp"  // IWYU pragma: export
#include "gateloop.hpp"         // IWYU pragma: export
#include "gla.hpp"              // IWYU pragma: export
#include "hgrn.hpp"             // IWYU pragma: export
#include "hgrn2.hpp"            // IWYU pragma: export
#include "mamba2.hpp"           // IWYU pragma: export
#include "min_gru.hpp"          // IWYU pragma: export
#include "min_lstm.hpp"         // IWYU pragma: export
#include "retention.hpp"        // IWYU pragma: export
#include "rg_lru.hpp"           // IWYU pragma: export
#include "rwkv6.hpp"            // IWYU pragma: export
#include "selective_scan.hpp"   // IWYU pragma: export

namespace support {

// A program that is compiled by itself may want only some (tests/mutants).
#ifndef GATESCAN_TEST_CASES
#define GATESCAN_TEST_CASES                                                            \
  real_elementwise, complex_elementwise, gateloop, gla, selective_scan, mamba2, rwkv6, \
      gated_delta_net, retention, hgrn, hgrn2, min_gru, min_lstm, rg_lru
#endif
template <template <class...> class List>
using every_case = List<GATESCAN_TEST_CASES>;

}  // namespace support
