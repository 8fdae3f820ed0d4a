// Weights in log space on a device: preactivations of any size, what m may not change, and what is
// empty, as tests/recurrences/log_space_test.cpp has it for the CPU.
#include "device_formats.hpp"
//
#include "../recurrences/log_space_test.cpp"
