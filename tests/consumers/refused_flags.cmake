# cmake -D COMPILER= -D SOURCE= -D INCLUDE= -D PROGRAM= -D FLAGS= -P refused_flags.cmake
# FLAGS are refused by the compiler or by the program, in the same words, and nothing is without.
cmake_minimum_required(VERSION 3.25)

separate_arguments(flags UNIX_COMMAND "${FLAGS}")
set(command ${COMPILER} -std=c++20 -O2 -I${INCLUDE} ${SOURCE} -o ${PROGRAM})
execute_process(COMMAND ${command} COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${PROGRAM} COMMAND_ERROR_IS_FATAL ANY)

execute_process(COMMAND ${command} ${flags} RESULT_VARIABLE result ERROR_VARIABLE said)
if(result EQUAL 0)
  execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE result ERROR_VARIABLE said)
endif()
if(result EQUAL 0 OR NOT said MATCHES "gatescan needs IEEE arithmetic")
  message(FATAL_ERROR "${FLAGS} is not refused:\n${said}")
endif()
