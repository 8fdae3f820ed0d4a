# What every program of ours (test, example, benchmark) is built with.
include(CheckCXXCompilerFlag)

add_library(gatescan_native INTERFACE)
if(GATESCAN_NATIVE)
  check_cxx_compiler_flag(-march=native GATESCAN_HAS_MARCH_NATIVE)
  if(GATESCAN_HAS_MARCH_NATIVE)
    target_compile_options(gatescan_native INTERFACE -march=native)
  endif()
endif()

# Eigen is looked for without a version, since a request for 3.4 refuses 5 and the other way round.
function(gatescan_find_eigen)
  if(NOT TARGET Eigen3::Eigen)
    find_package(Eigen3 REQUIRED NO_MODULE GLOBAL)
  endif()
  if(Eigen3_VERSION AND NOT Eigen3_VERSION MATCHES "^(3\\.4|5)(\\.|$)")
    message(FATAL_ERROR "Eigen ${Eigen3_VERSION} was found; gatescan's programs need 3.4 or 5")
  endif()
endfunction()

# Links the third-party packages that the sources include, and our calls on a device, so that a
# program needs only what it uses. A source that takes up a new package needs CMake to run once more.
function(gatescan_link_third_party target)
  set(includes "")
  foreach(source IN LISTS ARGN)
    file(STRINGS ${source} lines REGEX "^ *# *include *[<\"](Eigen|eigen[.]hpp|tbb|rapidcheck|nlohmann|CLI|png|benchmark|device_calls)")
    string(APPEND includes ${lines})
  endforeach()
  if(includes MATCHES "<Eigen/|\"eigen[.]hpp\"")
    gatescan_find_eigen()
    target_link_libraries(${target} PRIVATE Eigen3::Eigen)
  endif()
  if(includes MATCHES "<tbb/")  # tested where it is found
    find_package(TBB QUIET GLOBAL)
    if(TBB_FOUND)
      target_link_libraries(${target} PRIVATE TBB::tbb)
      target_compile_definitions(${target} PRIVATE GATESCAN_HAS_TBB)
    endif()
  endif()
  if(includes MATCHES "<rapidcheck")
    find_package(rapidcheck REQUIRED GLOBAL)
    target_link_libraries(${target} PRIVATE rapidcheck)
  endif()
  if(includes MATCHES "<nlohmann/")
    find_package(nlohmann_json REQUIRED GLOBAL)
    target_link_libraries(${target} PRIVATE nlohmann_json::nlohmann_json)
  endif()
  if(includes MATCHES "<CLI/")
    find_package(CLI11 REQUIRED GLOBAL)
    target_link_libraries(${target} PRIVATE CLI11::CLI11)
  endif()
  if(includes MATCHES "<png")
    find_package(PNG REQUIRED GLOBAL)
    target_link_libraries(${target} PRIVATE PNG::PNG)
  endif()
  if(includes MATCHES "<benchmark/")
    find_package(benchmark REQUIRED GLOBAL)
    target_link_libraries(${target} PRIVATE benchmark::benchmark)
  endif()
  if(includes MATCHES "\"device_calls/")
    target_link_libraries(${target} PUBLIC gatescan_device_calls)
  endif()
endfunction()

# gatescan_add_program(target source...): an executable on the library, with our warnings.
function(gatescan_add_program target)
  add_executable(${target} ${ARGN})
  target_link_libraries(${target} PRIVATE gatescan::gatescan gatescan_warnings gatescan_native)
  gatescan_link_third_party(${target} ${ARGN})
endfunction()

# Device code. CMake's own CUDA language is not asked for: nvcc is called where it is found, and what
# it makes runs on sm_80 and, through the PTX that goes along, on newer devices.
find_program(GATESCAN_NVCC nvcc)
mark_as_advanced(GATESCAN_NVCC)
option(GATESCAN_COMPILE_EVERY_FORMAT "Compile device code in all formats, not in a few only")
set(GATESCAN_DEVICE_OPTIONS "" CACHE STRING "Extra options for nvcc, which optimises fully else")
set(gatescan_nvcc_flags -std=c++20 -O3 -arch=sm_80 --Werror all-warnings
  -I${PROJECT_SOURCE_DIR}/include ${GATESCAN_DEVICE_OPTIONS})
if(GATESCAN_COMPILE_EVERY_FORMAT)
  list(APPEND gatescan_nvcc_flags -DGATESCAN_EVERY_FORMAT)
endif()
if(GATESCAN_NVCC AND NOT CUDAToolkit_FOUND)
  cmake_path(GET GATESCAN_NVCC PARENT_PATH toolkit)
  cmake_path(GET toolkit PARENT_PATH toolkit)
  set(CUDAToolkit_ROOT ${toolkit})
  find_package(CUDAToolkit QUIET)
  if(NOT TARGET CUDA::cudart_static)
    message(STATUS "gatescan: ${GATESCAN_NVCC} without the CUDA runtime, so no device programs")
  endif()
endif()

# gatescan_device_objects(result file.cu...): nvcc compiles each file, and `result` lists the objects,
# which can be sources of any target that links CUDA::cudart_static. Empty where there is no nvcc.
function(gatescan_device_objects result)
  set(objects "")
  if(GATESCAN_NVCC AND TARGET CUDA::cudart_static)
    foreach(source IN LISTS ARGN)
      cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE name)
      set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.o)
      cmake_path(GET object PARENT_PATH folder)
      file(MAKE_DIRECTORY ${folder})
      add_custom_command(OUTPUT ${object}
        COMMAND ${GATESCAN_NVCC} ${gatescan_nvcc_flags} -c ${source} -o ${object} -MD -MF ${object}.d
        DEPENDS ${source}
        DEPFILE ${object}.d
        COMMENT "nvcc ${name}"
        VERBATIM)
      list(APPEND objects ${object})
    endforeach()
  endif()
  set(${result} ${objects} PARENT_SCOPE)
endfunction()

# gatescan_add_device_program(name file.cu...): a program by nvcc alone, nothing where there is none.
function(gatescan_add_device_program name)
  gatescan_device_objects(objects ${ARGN})
  if(objects)
    set(program ${CMAKE_CURRENT_BINARY_DIR}/${name})
    add_custom_command(OUTPUT ${program}
      COMMAND ${GATESCAN_NVCC} ${objects} -o ${program}
      DEPENDS ${objects}
      VERBATIM)
    add_custom_target(build_${name} ALL DEPENDS ${program})
  endif()
endfunction()
