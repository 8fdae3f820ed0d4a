#pragma once
#include <gatescan/core/names.hpp>
#include <gatescan/modes/upward.hpp>         // breaks: direction
#include <gatescan/backends/cpu/upward.hpp>  // breaks: direction
#include <gatescan/recurrences/upward.hpp>
