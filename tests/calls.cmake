# gatescan_test_runs: what tests call beside the calls that all programs share (cmake/calls.cmake),
# compiled once: their own run_forward and run_backward of every case, and recurrences of a user's own;
# and the headers that tests include, parsed once, with all of that declared `extern`.
set(folder ${CMAKE_CURRENT_BINARY_DIR}/calls)
set(sources "")
set(every_run "")
foreach(case IN LISTS gatescan_test_cases)
  string(REGEX REPLACE ".*\\." "" name ${case})
  set(runs "")
  foreach(state IN ITEMS float double)
    gatescan_formats(${state} formats)
    foreach(format IN LISTS formats)
      string(APPEND runs "GATESCAN_TEST_RUNS(template, support::${name}, ${format});\n")
      string(APPEND every_run "GATESCAN_TEST_RUNS(extern template, support::${name}, ${format});\n")
    endforeach()
  endforeach()
  set(source ${folder}/${name}.cpp)
  file(CONFIGURE OUTPUT ${source} CONTENT
    "#include \"${CMAKE_CURRENT_SOURCE_DIR}/support/calls.hpp\"\n\n${runs}")
  list(APPEND sources ${source})
endforeach()
set(own "")
foreach(name IN ITEMS tied best_path rnn)  # of examples/own_recurrences.hpp
  string(APPEND own "GATESCAN_INSTANTIATE(own::${name}, double);\n")
  string(APPEND every_run "GATESCAN_EXTERN(own::${name}, double);\n")
endforeach()
file(CONFIGURE OUTPUT ${folder}/own.cpp CONTENT
  "#include \"${CMAKE_CURRENT_SOURCE_DIR}/support/calls.hpp\"\n\n${own}")
list(APPEND sources ${folder}/own.cpp)
file(CONFIGURE OUTPUT ${folder}/every_call.hpp CONTENT
  "#pragma once\n#include \"${CMAKE_CURRENT_SOURCE_DIR}/support/calls.hpp\"\n\n${every_run}")

find_package(rapidcheck REQUIRED GLOBAL)
add_library(gatescan_test_runs STATIC EXCLUDE_FROM_ALL ${sources})
target_link_libraries(gatescan_test_runs PUBLIC gatescan_calls rapidcheck PRIVATE gatescan_warnings)
gatescan_use_as_test(gatescan_test_runs)
target_precompile_headers(gatescan_test_runs PRIVATE
  <gtest/gtest.h> <rapidcheck.h> ${folder}/every_call.hpp)
