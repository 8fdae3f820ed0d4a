find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
gatescan_add_test(examples.replay.program COMMAND ${Python3_EXECUTABLE}
  ${CMAKE_CURRENT_LIST_DIR}/replay_test.py $<TARGET_FILE:replay> ${with_cuda})
set(GATESCAN_ONNX_PYTHON ${Python3_EXECUTABLE} CACHE FILEPATH
    "A Python that has onnx 1.23 or later, for its test cases of LinearAttention")
gatescan_add_test(examples.replay.onnx COMMAND ${GATESCAN_ONNX_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/onnx_cases.py $<TARGET_FILE:replay> PROPERTIES SKIP_RETURN_CODE 77)
