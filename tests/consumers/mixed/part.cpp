// Half of a program, compiled with flags that the other half does not have. GATESCAN_HALF is its
// function.
#include "part.hpp"

#include "answers.hpp"

bool GATESCAN_HALF() { return right(); }
