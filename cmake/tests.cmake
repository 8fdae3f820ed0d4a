# Tests are named group.name. A lane (CMakePresets.json) may want some of them only: lists of regular
# expressions on those names.
set(GATESCAN_TEST_ONLY "" CACHE STRING "Regular expressions on test names; empty means all")
set(GATESCAN_TEST_EXCEPT "" CACHE STRING "Regular expressions on names of tests to leave out")

function(gatescan_matches name patterns result)
  set(${result} FALSE PARENT_SCOPE)
  foreach(pattern IN LISTS patterns)
    if(name MATCHES "${pattern}")
      set(${result} TRUE PARENT_SCOPE)
    endif()
  endforeach()
endfunction()

function(gatescan_wants_test name result)
  gatescan_matches("${name}" "${GATESCAN_TEST_ONLY}" named)
  gatescan_matches("${name}" "${GATESCAN_TEST_EXCEPT}" left_out)
  if((named OR NOT GATESCAN_TEST_ONLY) AND NOT left_out)
    set(${result} TRUE PARENT_SCOPE)
  else()
    set(${result} FALSE PARENT_SCOPE)
  endif()
endfunction()

# Of Open MPI's start three fifths is a search for networks, and mpirun waits a second for the others
# to end where one has failed.
set(gatescan_mpi_environment OMPI_MCA_pml=ob1 OMPI_MCA_btl=self,vader OMPI_MCA_mpi_yield_when_idle=1
  OMPI_MCA_odls_base_sigkill_timeout=0)

# gatescan_add_test(group.name COMMAND command... [PROPERTIES name value...]): a ctest with the group
# as its label. Tests run beside each other: threads, and ranks of MPI, that wait must not keep a core
# busy.
function(gatescan_add_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "COMMAND;PROPERTIES")
  gatescan_wants_test(${name} wanted)
  if(wanted)
    string(REGEX REPLACE "\\..*" "" group ${name})
    add_test(NAME ${name} COMMAND ${arg_COMMAND})
    set_tests_properties(${name} PROPERTIES LABELS ${group} TIMEOUT 900
      ENVIRONMENT "OMP_WAIT_POLICY=passive;${gatescan_mpi_environment}" ${arg_PROPERTIES})
  endif()
endfunction()

# What makes a program a GoogleTest program of ours.
function(gatescan_use_as_test target)
  target_link_libraries(${target} PRIVATE gatescan_test_support GTest::gtest_main)
  target_compile_options(${target} PRIVATE ${GATESCAN_TEST_OPTIONS})
  target_compile_definitions(${target} PRIVATE GATESCAN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
endfunction()

# gatescan_add_unit_test(group name_test.cpp [CALLS target] [library...]): one GoogleTest program, the
# ctest group.name. CALLS: what has compiled calls once and parsed their headers; a test that needs no
# library has gatescan_test_runs.
function(gatescan_add_unit_test group source)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "CALLS" "")
  if(NOT arg_CALLS AND NOT arg_UNPARSED_ARGUMENTS)
    set(arg_CALLS gatescan_test_runs)
  endif()
  cmake_path(GET source STEM stem)
  string(REGEX REPLACE "_test$" "" stem ${stem})
  gatescan_wants_test(${group}.${stem} wanted)
  if(NOT wanted)
    return()
  endif()
  string(REPLACE "." "_" target test_${group}_${stem})
  gatescan_add_program(${target} ${source})
  gatescan_use_as_test(${target})
  target_link_libraries(${target} PRIVATE ${arg_UNPARSED_ARGUMENTS} ${arg_CALLS})
  if(arg_CALLS)
    target_precompile_headers(${target} REUSE_FROM ${arg_CALLS})
  endif()
  gatescan_add_test(${group}.${stem} COMMAND ${target})
endfunction()

# gatescan_add_compile_twin(file.cpp): the file compiles as it is; with GATESCAN_WRONG defined it does
# not, and the compiler says the sentence that the file promises in a line `// says: sentence`.
# INCLUDES: folders besides the library's.
function(gatescan_add_compile_twin source)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "INCLUDES")
  cmake_path(GET source STEM name)
  file(STRINGS ${source} sentence REGEX "^// says: ")
  if(NOT sentence)
    message(FATAL_ERROR "${source} has no line `// says: sentence`")
  endif()
  string(REPLACE "// says: " "" sentence "${sentence}")
  list(PREPEND arg_INCLUDES ${PROJECT_SOURCE_DIR}/include)
  list(JOIN arg_INCLUDES ":" includes)
  gatescan_add_test(compile.${name} COMMAND ${CMAKE_COMMAND}
    -D COMPILER=${CMAKE_CXX_COMPILER} -D INCLUDES=${includes}
    -D SOURCE=${source} -D SENTENCE=${sentence} -P ${PROJECT_SOURCE_DIR}/cmake/compile_twin.cmake)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
endfunction()
