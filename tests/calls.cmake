# gatescan_test_calls: what tests call, compiled once, and the headers that tests
# include, parsed once, with those calls declared `extern`. A format that is not compiled here is
# compiled by each test that uses it.
option(GATESCAN_TEST_PCH "Parse the headers and compile the kernels of all tests once" ON)
set(GATESCAN_TEST_FORMATS float bf16 half double wide<float> wide<bf16>
    CACHE STRING "Formats whose kernels all tests share")
if(NOT GATESCAN_TEST_PCH)
  return()
endif()
include(${PROJECT_SOURCE_DIR}/cmake/recurrences.cmake)

# The cases of a recurrence are the aliases of its oracle.
function(gatescan_cases_of name result)
  file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/support/problems.hpp cases
       REGEX "^using [a-z0-9_]+ = oracle::${name}<")
  list(TRANSFORM cases REPLACE "^using ([a-z0-9_]+) = .*" "\\1")
  set(${result} ${cases} PARENT_SCOPE)
endfunction()

set(folder ${CMAKE_CURRENT_BINARY_DIR}/calls)
set(sources "")
set(every_call "")
foreach(name IN LISTS gatescan_recurrences)
  gatescan_cases_of(${name} cases)
  foreach(state IN ITEMS float double)  # formats that share kernels are compiled together
    set(calls "")
    foreach(format IN LISTS GATESCAN_TEST_FORMATS)
      string(REGEX MATCH "^(wide<.*>|double)$" wide ${format})
      if((wide AND state STREQUAL double) OR (NOT wide AND state STREQUAL float))
        string(REGEX REPLACE "(wide|bf16|half)" "gatescan::\\1" type ${format})
        string(APPEND calls "GATESCAN_TEST_VERBS(KEYWORD, gatescan::${name}, ${type})\n")
        foreach(case IN LISTS cases)
          string(APPEND calls "GATESCAN_TEST_RUNS(KEYWORD, support::${case}, ${type})\n")
        endforeach()
      endif()
    endforeach()
    if(calls)
      string(REPLACE "KEYWORD" "extern" declared "${calls}")
      string(APPEND every_call "${declared}")
      string(REPLACE "KEYWORD" "" calls "${calls}")
      set(source ${folder}/${name}_${state}.cpp)
      configure_file(support/calls.cpp.in ${source} @ONLY)
      list(APPEND sources ${source})
    endif()
  endforeach()
endforeach()
set(calls "${every_call}")
configure_file(support/every_call.hpp.in ${folder}/every_call.hpp @ONLY)

find_package(rapidcheck REQUIRED GLOBAL)
add_library(gatescan_test_calls STATIC ${sources})
target_link_libraries(gatescan_test_calls PRIVATE gatescan::gatescan gatescan_warnings gatescan_native)
gatescan_use_as_test(gatescan_test_calls)
target_link_libraries(gatescan_test_calls PUBLIC rapidcheck)
target_precompile_headers(gatescan_test_calls PRIVATE
  <gtest/gtest.h> <rapidcheck.h> ${folder}/every_call.hpp)
