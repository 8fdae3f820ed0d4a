# gatescan_emulated_calls: the calls of the recurrences that CUDA has kernels of, on an emulated device,
# compiled once, and the headers of tests of that device, parsed once. A recurrence without a grid of
# its own (NAME_device_grid_test.cpp) is run in float only.
set(GATESCAN_DEVICE_CALL_FORMATS float double bf16 half wide<float>
    CACHE STRING "Formats whose emulated device code all tests share")
set(folder ${CMAKE_CURRENT_BINARY_DIR}/emulated_calls)
set(sources "")
set(every_call "")
file(GLOB recurrences CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/device_calls/*.cu)
foreach(recurrence IN LISTS recurrences)
  cmake_path(GET recurrence STEM name)
  set(calls "")
  file(GLOB grid CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/device/*${name}_device_grid_test.cpp)
  set(formats float)
  if(grid)
    set(formats ${GATESCAN_DEVICE_CALL_FORMATS})
  endif()
  list(TRANSFORM formats REPLACE "(wide|bf16|half)" "gatescan::\\1")
  foreach(format IN LISTS formats)
    set(call "support::emulated_gpu, gatescan::${name}, gatescan::device<${format}>")
    string(APPEND calls "GATESCAN_INSTANTIATE_ON(${call});\n")
    string(APPEND every_call "GATESCAN_EXTERN_ON(${call});\n")
  endforeach()
  file(CONFIGURE OUTPUT ${folder}/${name}.cpp CONTENT
    "#include \"${CMAKE_CURRENT_SOURCE_DIR}/support/emulation/calls.hpp\"\n\n${calls}")
  list(APPEND sources ${folder}/${name}.cpp)
endforeach()
file(CONFIGURE OUTPUT ${folder}/every_call.hpp CONTENT
  "#pragma once\n#include \"${CMAKE_CURRENT_SOURCE_DIR}/support/emulation/calls.hpp\"\n\n${every_call}")

add_library(gatescan_emulated_calls STATIC EXCLUDE_FROM_ALL ${sources})
target_link_libraries(gatescan_emulated_calls PUBLIC gatescan_calls Boost::context
                                              PRIVATE gatescan_warnings)
gatescan_use_as_test(gatescan_emulated_calls)
target_precompile_headers(gatescan_emulated_calls PRIVATE
  <gtest/gtest.h> <gatescan_calls.hpp> ${folder}/every_call.hpp)
