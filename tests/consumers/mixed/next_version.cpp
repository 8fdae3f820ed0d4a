// Stands in for another version of the library: its names carry another number.
#include <gatescan/version.hpp>

#undef GATESCAN_VERSION_PATCH
#define GATESCAN_VERSION_PATCH 999

#include "../main.cpp"
