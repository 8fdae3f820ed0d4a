# cmake -D NM= -D ONE= -D OTHER= -P shared_symbols.cmake
# A function of the library that both objects define is compiled for two instruction sets, and the
# linker keeps either: on a machine without the wider one the program would die. So there is none.
cmake_minimum_required(VERSION 3.25)

function(defined_functions object result)
  execute_process(COMMAND ${NM} --defined-only ${object}
                  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[WVu] _Z[^\n]*8gatescan[^\n]*" symbols "${symbols}")
  set(${result} ${symbols} PARENT_SCOPE)
endfunction()

defined_functions(${ONE} one)
defined_functions(${OTHER} other)
if(NOT one OR NOT other)
  message(FATAL_ERROR "found no functions of gatescan: this test does not see what it should")
endif()
set(only_one ${one})
list(REMOVE_ITEM only_one ${other})
set(shared ${one})
if(only_one)
  list(REMOVE_ITEM shared ${only_one})
endif()
if(shared)
  list(JOIN shared "\n  " text)
  message(FATAL_ERROR "defined by both translation units:\n  ${text}")
endif()
