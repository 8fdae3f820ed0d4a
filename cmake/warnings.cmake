# gatescan_warnings: private to our own tests, examples and benchmarks, never on the library's target.
add_library(gatescan_warnings INTERFACE)
target_compile_options(gatescan_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Wcast-align
  -Wcast-qual -Wdouble-promotion -Wundef -Wvla -Woverloaded-virtual
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op>
  $<$<BOOL:${GATESCAN_WERROR}>:-Werror>
  # gcc 12 sees overflows in concatenated std::strings that are not there (its PR105651), and takes
  # what its own AVX-512 intrinsics leave open, in Eigen's code, for a mistake (its PR105593)
  $<$<CXX_COMPILER_ID:GNU>:-Wno-error=restrict -Wno-error=stringop-overflow
    -Wno-error=stringop-overread -Wno-error=array-bounds -Wno-error=maybe-uninitialized>)
