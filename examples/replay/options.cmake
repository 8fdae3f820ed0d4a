# Every recurrence in every format takes long to compile, and is not timed: 70 s instead of 100 for
# elementwise.
target_compile_options(${parts} PRIVATE $<$<CONFIG:Release>:-O2>)
