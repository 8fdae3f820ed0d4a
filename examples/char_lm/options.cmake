# The kernels are compiled once for all programs.
foreach(name IN ITEMS gateloop gla selective_scan mamba2 gated_delta_net rwkv7 mlstm)
  target_link_libraries(${parts} PUBLIC gatescan_calls_${name})
endforeach()
# Under mpirun, where MPI is.
if(MPI_CXX_FOUND)
  target_sources(${parts} PRIVATE ${folder}/mpi/ranks.cpp)
  target_compile_definitions(${parts} PUBLIC CHAR_LM_HAS_MPI)
  target_link_libraries(${parts} PUBLIC MPI::MPI_CXX)
else()
  target_sources(${parts} PRIVATE ${folder}/mpi/no_ranks.cpp)
endif()
# Reading a command line and files is not timed, but would take longest to compile.
set_source_files_properties(${main} ${folder}/options.cpp ${folder}/checkpoint.cpp
  PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)
