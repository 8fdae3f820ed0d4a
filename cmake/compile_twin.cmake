# cmake -D COMPILER= -D INCLUDES= -D SOURCE= -D SENTENCE= -P compile_twin.cmake
cmake_minimum_required(VERSION 3.25)

set(ENV{LC_ALL} C)
string(REPLACE ":" ";" INCLUDES "${INCLUDES}")
list(TRANSFORM INCLUDES PREPEND -I)
set(command ${COMPILER} -std=c++20 -fsyntax-only ${INCLUDES})

execute_process(COMMAND ${command} ${SOURCE} RESULT_VARIABLE result ERROR_VARIABLE said)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "the right twin must compile, but:\n${said}")
endif()

execute_process(COMMAND ${command} -DGATESCAN_WRONG ${SOURCE}
                RESULT_VARIABLE result ERROR_VARIABLE said)
if(result EQUAL 0)
  message(FATAL_ERROR "the wrong twin compiled")
endif()
string(FIND "${said}" "${SENTENCE}" place)
if(place EQUAL -1)
  message(FATAL_ERROR "expected the sentence\n  ${SENTENCE}\nin\n${said}")
endif()
string(REGEX MATCHALL "error:" errors "${said}")
list(LENGTH errors count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "expected that sentence alone, got ${count} errors:\n${said}")
endif()
