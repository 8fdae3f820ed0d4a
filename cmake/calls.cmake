# The library's calls compiled once for all programs of the tree: gatescan_calls_NAME has those of a
# recurrence, gatescan_calls all of them, and <gatescan_calls.hpp> declares them `extern`. A format
# that is not compiled here is compiled by each program that uses it.
include(${PROJECT_SOURCE_DIR}/cmake/recurrences.cmake)
set(GATESCAN_CALL_FORMATS float bf16 half double wide<float> wide<bf16> wide<half>
    CACHE STRING "Formats whose kernels all programs share")
set(GATESCAN_CALL_RECURRENCES "" CACHE STRING
    "Recurrences whose kernels all programs share, and whose cases tests run; empty: all")
if(GATESCAN_CALL_RECURRENCES)
  set(gatescan_recurrences ${GATESCAN_CALL_RECURRENCES})
endif()
set(GATESCAN_CALL_OPTIONS "" CACHE STRING "Extra compiler options for these calls")
set(folder ${PROJECT_BINARY_DIR}/calls)

# gatescan_formats(state result): the formats that compute in float or in double, as C++ types. They
# share kernels, so they are compiled together.
function(gatescan_formats state result)
  set(formats ${GATESCAN_CALL_FORMATS})
  set(computed_in_double "^(wide<.*>|double)$")
  if(state STREQUAL "double")
    list(FILTER formats INCLUDE REGEX ${computed_in_double})
  else()
    list(FILTER formats EXCLUDE REGEX ${computed_in_double})
  endif()
  list(TRANSFORM formats REPLACE "(wide|bf16|half)" "gatescan::\\1")
  set(${result} ${formats} PARENT_SCOPE)
endfunction()

add_library(gatescan_calls INTERFACE)
set(every_call "")
foreach(name IN LISTS gatescan_recurrences)
  set(sources "")
  foreach(state IN ITEMS float double)
    gatescan_formats(${state} formats)
    if(formats)
      set(calls "")
      foreach(format IN LISTS formats)
        string(APPEND calls "GATESCAN_INSTANTIATE(gatescan::${name}, ${format});\n")
        string(APPEND every_call "GATESCAN_EXTERN(gatescan::${name}, ${format});\n")
      endforeach()
      set(source ${folder}/${name}_${state}.cpp)
      file(CONFIGURE OUTPUT ${source} CONTENT "#include <gatescan/instantiate.hpp>\n\n${calls}")
      list(APPEND sources ${source})
    endif()
  endforeach()
  add_library(gatescan_calls_${name} STATIC EXCLUDE_FROM_ALL ${sources})
  target_link_libraries(gatescan_calls_${name} PUBLIC gatescan::gatescan gatescan_native
                                               PRIVATE gatescan_warnings)
  target_compile_options(gatescan_calls_${name} PRIVATE ${GATESCAN_CALL_OPTIONS})
  target_include_directories(gatescan_calls_${name} PUBLIC ${folder}/include)
  target_link_libraries(gatescan_calls INTERFACE gatescan_calls_${name})
endforeach()
file(CONFIGURE OUTPUT ${folder}/include/gatescan_calls.hpp CONTENT
  "// What gatescan_calls has compiled.\n#pragma once\n\n#include <gatescan/instantiate.hpp>\n\n${every_call}")
