// The CUDA backend on an emulated device, for calls that are compiled once (device/calls.cmake).
#pragma once

#include <gatescan/backends/cuda/execute.hpp>
#include <gatescan/instantiate.hpp>

#include "emulated_gpu.hpp"
