#pragma once
// gatescan for nvcc: the CUDA backend, every recurrence and verb. The CPU backend is in
// gatescan.hpp, for host compilers; both can be linked into one program.

#include "adapt/mdspan.hpp"
#include "api/attention_map.hpp"
#include "api/describe.hpp"
#include "api/plan.hpp"
#include "backends/cuda/execute.hpp"
#include "backends/cuda/hardware.cuh"
#include "recurrences/all.hpp"
#include "version.hpp"
