#pragma once
#include <gatescan/modes/upward.hpp>
#include <cub/cub.cuh>
#include <Eigen/Core>                       // breaks: fence
#include <gatescan/backends/cpu/upward.hpp> // breaks: direction
