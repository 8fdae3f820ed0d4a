# The kernels are compiled once for all programs.
foreach(name IN ITEMS gateloop gla selective_scan mamba2 gated_delta_net rwkv7 mlstm)
  target_link_libraries(${parts} PUBLIC gatescan_calls_${name})
endforeach()
# Reading a command line and files is not timed, but would take longest to compile.
set_source_files_properties(${main} ${folder}/options.cpp ${folder}/checkpoint.cpp
  PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)
