find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
gatescan_add_test(examples.replay.program COMMAND ${Python3_EXECUTABLE}
  ${CMAKE_CURRENT_LIST_DIR}/replay_test.py $<TARGET_FILE:replay> ${with_cuda})
set(GATESCAN_ONNX_PYTHON ${Python3_EXECUTABLE} CACHE FILEPATH
    "A Python that has onnx 1.23 or later, for its test cases of LinearAttention")
gatescan_add_test(examples.replay.onnx COMMAND ${GATESCAN_ONNX_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/onnx_cases.py $<TARGET_FILE:replay> PROPERTIES SKIP_RETURN_CODE 77)
if(MPI_CXX_FOUND)
  foreach(ranks RANGE 1 4)
    gatescan_add_test(examples.replay.ranks_${ranks} COMMAND ${Python3_EXECUTABLE}
      ${CMAKE_CURRENT_LIST_DIR}/ranks_test.py $<TARGET_FILE:replay> ${ranks}
      ${MPIEXEC_EXECUTABLE} --allow-run-as-root --oversubscribe ${MPIEXEC_NUMPROC_FLAG})
  endforeach()
endif()
