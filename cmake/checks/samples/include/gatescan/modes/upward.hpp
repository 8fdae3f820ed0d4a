#pragma once
#include <gatescan/core/names.hpp>
#include <gatescan/recurrences/upward.hpp>   // breaks: direction
#include <gatescan/backends/cpu/upward.hpp>  // breaks: direction
#include <cub/cub.cuh>                       // breaks: fence
