# gatescan_warnings: private to our own tests, examples and benchmarks, never on the library's target.
add_library(gatescan_warnings INTERFACE)
target_compile_options(gatescan_warnings INTERFACE
  -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Wcast-align
  -Wcast-qual -Wdouble-promotion -Wundef -Wvla -Woverloaded-virtual
  $<$<CXX_COMPILER_ID:GNU>:-Wduplicated-cond -Wlogical-op>
  $<$<BOOL:${GATESCAN_WERROR}>:-Werror>)
