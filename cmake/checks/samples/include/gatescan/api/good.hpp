#pragma once
#include <gatescan/backends/cpu/upward.hpp>
#include <gatescan/modes/upward.hpp>
#include <gatescan/recurrences/upward.hpp>  // breaks: direction
