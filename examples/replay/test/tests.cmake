find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
gatescan_add_test(examples.replay.program COMMAND ${Python3_EXECUTABLE}
  ${CMAKE_CURRENT_LIST_DIR}/replay_test.py $<TARGET_FILE:replay> ${with_cuda})
