// Every recurrence of recurrences/all.hpp in plain loops and as problems of the tests.
#pragma once

#include "aaren.hpp"             // IWYU pragma: export
#include "elementwise.hpp"       // IWYU pragma: export
#include "gated_delta_net.hpp"   // IWYU pragma: export
#include "gateloop.hpp"          // IWYU pragma: export
#include "gla.hpp"               // IWYU pragma: export
#include "hgrn.hpp"              // IWYU pragma: export
#include "hgrn2.hpp"             // IWYU pragma: export
#include "linear_attention.hpp"  // IWYU pragma: export
#include "mamba2.hpp"            // IWYU pragma: export
#include "min_gru.hpp"           // IWYU pragma: export
#include "min_lstm.hpp"          // IWYU pragma: export
#include "mlstm.hpp"             // IWYU pragma: export
#include "retention.hpp"         // IWYU pragma: export
#include "rg_lru.hpp"            // IWYU pragma: export
#include "rwkv4.hpp"             // IWYU pragma: export
#include "rwkv6.hpp"             // IWYU pragma: export
#include "rwkv7.hpp"             // IWYU pragma: export
#include "selective_scan.hpp"    // IWYU pragma: export

namespace support {

// A program that is compiled by itself may want only some (tests/mutants).
#ifndef GATESCAN_TEST_CASES
#define GATESCAN_TEST_CASES                                                                        \
  real_elementwise, complex_elementwise, gateloop, gla, selective_scan, mamba2, rwkv6,             \
      gated_delta_net, retention, hgrn, hgrn2, min_gru, min_lstm, rg_lru, linear_attention, mlstm, \
      aaren, rwkv7, rwkv4
#endif
template <template <class...> class List>
using every_case = List<GATESCAN_TEST_CASES>;

// Those whose recurrence has gates: all but where the case says otherwise.
template <template <class...> class List, class Found, class... O>
struct gated_cases {
  using type = Found;
};
template <template <class...> class List, class... Found, class First, class... O>
    struct gated_cases<List, List<Found...>, First, O...> : std::conditional_t < requires {
  requires !case_of<First>::has_gates;
}, gated_cases<List, List<Found...>, O...>, gated_cases < List, List<Found..., First>, O... >> {};
template <template <class...> class List>
using every_gated_case = typename gated_cases<List, List<>, GATESCAN_TEST_CASES>::type;

}  // namespace support
