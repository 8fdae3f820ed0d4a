#pragma once
#include <gatescan/modes/upward.hpp>
#include <gatescan/recurrences/upward.hpp>  // breaks: direction
#include <gatescan/api/good.hpp>            // breaks: direction
#include <gatescan/backends/cuda/ops.cuh>   // breaks: direction
