// The frozen oracle: every recurrence in plain loops, written from its equation, in any scalar.
// It shares no code with the library; tests/recurrences/oracle_test.cpp proves its gradients.
#pragma once

#include "oracle_elementwise.hpp"     // IWYU pragma: export
#include "oracle_gateloop.hpp"        // IWYU pragma: export
#include "oracle_gla.hpp"             // IWYU pragma: export
#include "oracle_selective_scan.hpp"  // IWYU pragma: export
