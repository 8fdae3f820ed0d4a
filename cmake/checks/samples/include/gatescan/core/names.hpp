#pragma once
#include <Eigen/Core>                    // breaks: fence
#include <gatescan/modes/upward.hpp>     // breaks: direction
#include <gatescan/version.hpp>
#include "../api/good.hpp"               // breaks: direction
#include "../../outside.hpp"             // breaks: direction
#include "no_guard.hpp"
#include <cstdio>

// Comments may say printf, std::cout, exit(1), __name and using namespace std.
#define SQUARE(x) ((x) * (x))            // breaks: macro
#define GATESCAN_FINE 1
#if defined(__AVX512F__) && defined(_OPENMP)
#endif

namespace gatescan {
using namespace std;                     // breaks: using
inline const char* text() { return "printf, \" std::abort() __x"; }
inline int __mine = 1'000;               // breaks: reserved
struct _Upper {};                        // breaks: reserved
struct printf_like {};
inline void stop() { std::exit(1); }     // breaks: forbidden
inline void say() { std::printf("x"); }  // breaks: forbidden
inline void shout() { std::cout << 1; }  // breaks: forbidden
inline void die() { std::abort(); }      // breaks: forbidden
inline int on_exit_count(int exit_count) { return exit_count; }
inline int a_line_that_is_longer_than_one_hundred_columns(int first, int second) { return 0; }  // breaks: columns
inline int odd; // breaks: blanks 
}  // namespace gatescan
