find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
set(cuda without-cuda)
if(kernel_objects)
  set(cuda with-cuda)
endif()
gatescan_add_test(examples.replay.program COMMAND ${Python3_EXECUTABLE}
  ${CMAKE_CURRENT_LIST_DIR}/replay_test.py $<TARGET_FILE:replay> ${cuda})
