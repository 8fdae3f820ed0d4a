# The kernels are those of gatescan_calls; what is left is not timed.
target_link_libraries(${parts} PUBLIC gatescan_calls)
target_compile_options(${parts} PRIVATE $<$<CONFIG:Release>:-O1>)
set_source_files_properties(${main} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)
# Under mpirun, where MPI is.
if(MPI_CXX_FOUND)
  target_sources(${parts} PRIVATE ${folder}/mpi/ranks.cpp)
  target_link_libraries(${parts} PRIVATE MPI::MPI_CXX)
else()
  target_sources(${parts} PRIVATE ${folder}/mpi/no_ranks.cpp)
endif()
