#pragma once
// One sequence over the ranks of an MPI communicator, each on its CUDA device:
// forward(sequence_parallel{comm, cuda{stream}}, mode, in, out). After or instead of
// gatescan_cuda.cuh, for nvcc; README.md.

#include "../backends/cuda/hardware.cuh"
#include "../backends/cuda/staging.cuh"
#include "on_device.hpp"
