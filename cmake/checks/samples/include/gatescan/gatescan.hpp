#pragma once
#include <gatescan/api/good.hpp>
#include <gatescan/core/names.hpp>
#include <gatescan/recurrences/upward.hpp>
#include <iostream>  // breaks: fence
