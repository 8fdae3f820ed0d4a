#pragma once
// gatescan: data-controlled linear recurrences, every mode, forward and backward. This is the
// umbrella header.

#include "adapt/eigen.hpp"
#include "adapt/mdspan.hpp"
#include "api/attention_map.hpp"
#include "api/describe.hpp"
#include "api/plan.hpp"
#include "backends/cpu/execute.hpp"
#include "backends/cpu/work/attention_map.hpp"
#include "recurrences/all.hpp"
#include "version.hpp"
