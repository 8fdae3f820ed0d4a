# gatescan_recurrences: the library's recurrences, as recurrences/all.hpp lists them. What exists once a
# recurrence (grids, compiled kernels) is made from this list.
set(list ${PROJECT_SOURCE_DIR}/include/gatescan/recurrences/all.hpp)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list})
file(READ ${list} text)
string(REGEX MATCH "all_recurrences =[ \n]*type_list<([^>]*)>" found "${text}")
string(REGEX MATCHALL "[a-z0-9_]+" gatescan_recurrences "${CMAKE_MATCH_1}")

# gatescan_cases(result): the cases of tests/support/cases/NAME.hpp, which are aliases of its oracle,
# as NAME.CASE for every recurrence.
function(gatescan_cases result)
  set(folder ${PROJECT_SOURCE_DIR}/tests/support/cases)
  file(READ ${folder}/all.hpp all)
  set(found "")
  foreach(name IN LISTS gatescan_recurrences)
    if(NOT all MATCHES "\"${name}.hpp\"")
      message(FATAL_ERROR "${name} is in recurrences/all.hpp, but not in tests/support/cases/all.hpp")
    endif()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${folder}/${name}.hpp)
    file(STRINGS ${folder}/${name}.hpp cases REGEX "^using [a-z0-9_]+ = oracle::${name}<")
    list(TRANSFORM cases REPLACE "^using ([a-z0-9_]+) = .*" "${name}.\\1")
    list(APPEND found ${cases})
  endforeach()
  set(${result} ${found} PARENT_SCOPE)
endfunction()
