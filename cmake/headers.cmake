# Each header alone and twice, all of them in two translation units of one program, and all of them
# among hostile macros. A failure here is a failure to build.
set(work ${CMAKE_CURRENT_BINARY_DIR}/headers)
set(alone_sources "")
set(all_includes "")
find_package(MPI QUIET COMPONENTS CXX)
if(NOT MPI_CXX_FOUND)
  list(FILTER gatescan_headers EXCLUDE REGEX "/distributed/")
endif()
set(mpi_includes ${MPI_CXX_INCLUDE_DIRS})
list(TRANSFORM mpi_includes PREPEND -isystem)
foreach(header IN LISTS gatescan_headers)
  cmake_path(RELATIVE_PATH header BASE_DIRECTORY ${PROJECT_SOURCE_DIR}/include
             OUTPUT_VARIABLE name)
  string(APPEND all_includes "#include <${name}>\n")
  string(REGEX REPLACE "[/.]" "_" stem ${name})
  file(CONFIGURE OUTPUT ${work}/${stem}.cpp CONTENT "#include <${name}>\n#include <${name}>\n")
  list(APPEND alone_sources ${work}/${stem}.cpp)
endforeach()

file(CONFIGURE OUTPUT ${work}/one.cpp
     CONTENT "${all_includes}int other();\nint main() { return other(); }\n")
file(CONFIGURE OUTPUT ${work}/other.cpp
     CONTENT "${all_includes}int other();\nint other() { return 0; }\n")
file(CONFIGURE OUTPUT ${work}/hostile.cpp
     CONTENT "#include \"${PROJECT_SOURCE_DIR}/cmake/headers/hostile.hpp\"\n${all_includes}")

# Each alone: as many compilations as there are headers.
gatescan_wants_test(headers.alone alone)
set(header_targets headers_hostile headers_linked_twice)
if(alone)
  add_library(headers_alone OBJECT ${alone_sources})
  list(APPEND header_targets headers_alone)
endif()
add_library(headers_hostile OBJECT ${work}/hostile.cpp)
add_executable(headers_linked_twice ${work}/one.cpp ${work}/other.cpp)
foreach(target IN LISTS header_targets)
  target_link_libraries(${target} PRIVATE gatescan::gatescan gatescan_warnings)
  target_compile_options(${target} PRIVATE -O0)
  if(MPI_CXX_FOUND)
    target_link_libraries(${target} PRIVATE MPI::MPI_CXX)
  endif()
endforeach()
gatescan_add_test(headers.linked_twice COMMAND headers_linked_twice)

# The other compiler reads them too, where it is at hand.
find_program(GATESCAN_CLANG NAMES clang++ clang++-14)
mark_as_advanced(GATESCAN_CLANG)
if(GATESCAN_CLANG AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  gatescan_add_test(headers.clang COMMAND ${GATESCAN_CLANG} -std=c++20 -fsyntax-only -Wall -Wextra
    -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast -Werror
    -I${PROJECT_SOURCE_DIR}/include ${mpi_includes} ${work}/one.cpp)
endif()
