# cmake -D NM= -D CALLER=caller.o -P no_kernels.cmake
# The object calls gla, and defines no function of the library at all.
cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND ${NM} ${CALLER} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
if(NOT symbols MATCHES " U _ZN8gatescan[^\n]*7forward")
  message(FATAL_ERROR "${CALLER} does not call gatescan::forward:\n${symbols}")
endif()
string(REGEX MATCHALL "[^\n]* [TtWVu] _Z[^\n]*8gatescan[^\n]*" compiled "${symbols}")
if(compiled)
  list(JOIN compiled "\n  " text)
  message(FATAL_ERROR "${CALLER} compiles what is declared extern:\n  ${text}")
endif()
