# gatescan_recurrences: the library's recurrences, as recurrences/all.hpp lists them. What exists once
# a recurrence (tests, benchmarks) is made from this list.
set(list ${PROJECT_SOURCE_DIR}/include/gatescan/recurrences/all.hpp)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${list})
file(STRINGS ${list} gatescan_recurrences REGEX "^#include \"[a-z0-9_]+\\.hpp\"$")
list(TRANSFORM gatescan_recurrences REPLACE "^#include \"(.*)\\.hpp\"$" "\\1")
