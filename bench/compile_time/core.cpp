// The core headers and one recurrence, which is what a header of a user's own would include.
#include <gatescan/core/operand.hpp>
#include <gatescan/core/view.hpp>
#include <gatescan/recurrences/gla.hpp>

gatescan::gla::inputs<float> inputs;
