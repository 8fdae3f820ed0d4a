# cmake -D NM= -D ALIKE=one.o;other.o... -D NEXT_VERSION=object.o -P shared_symbols.cmake
# A function of the library that two objects define is compiled under different flags, and the linker
# keeps either: on a machine without the wider instruction set the program would die, or numbers
# change. So there is none among objects ALIKE of one version, but for the destructors of errors,
# which are one type in the whole program. NEXT_VERSION shares nothing with any.
cmake_minimum_required(VERSION 3.25)

function(defined_functions object result)
  execute_process(COMMAND ${NM} --defined-only ${object}
                  OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "[WVu] _Z[^\n]*8gatescan[^\n]*" symbols "${symbols}")
  if(NOT symbols)
    message(FATAL_ERROR "${object}: found no functions of gatescan: this test does not see them")
  endif()
  set(${result} ${symbols} PARENT_SCOPE)
endfunction()

set(of_errors "W _ZN8gatescan[^ ]*_errorD[012]Ev|V _ZT[VIS]N8gatescan[^ ]*_errorE")
set(seen "")
foreach(object IN LISTS ALIKE NEXT_VERSION)
  defined_functions(${object} shared)
  set(new ${shared})
  if(seen)
    list(REMOVE_ITEM new ${seen})
  endif()
  if(new)
    list(REMOVE_ITEM shared ${new})
  endif()
  if(NOT object STREQUAL NEXT_VERSION)
    list(FILTER shared EXCLUDE REGEX "^(${of_errors})$")
  endif()
  if(shared)
    list(JOIN shared "\n  " text)
    message(FATAL_ERROR "${object} defines what an object before it does:\n  ${text}")
  endif()
  list(APPEND seen ${new})
endforeach()
