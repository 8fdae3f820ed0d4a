#pragma once
#include <Eigen/Core>
#include <gatescan/core/names.hpp>
#include <gatescan/api/good.hpp>  // breaks: direction
