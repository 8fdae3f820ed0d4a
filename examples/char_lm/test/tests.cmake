find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
gatescan_add_test(examples.char_lm.gradients COMMAND char_lm --check-gradients)
gatescan_add_test(examples.char_lm.program COMMAND ${Python3_EXECUTABLE}
  ${CMAKE_CURRENT_LIST_DIR}/char_lm_test.py $<TARGET_FILE:char_lm> ${with_cuda})
if(MPI_CXX_FOUND)
  foreach(ranks IN ITEMS 1 2 4)
    gatescan_add_test(examples.char_lm.ranks_${ranks} COMMAND ${Python3_EXECUTABLE}
      ${CMAKE_CURRENT_LIST_DIR}/ranks_test.py $<TARGET_FILE:char_lm> ${ranks}
      ${MPIEXEC_EXECUTABLE} --allow-run-as-root --oversubscribe ${MPIEXEC_NUMPROC_FLAG})
  endforeach()
endif()
