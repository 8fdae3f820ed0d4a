// Names that widespread headers define as macros. gatescan must read the same when they are there.
// The standard library is not expected to, so it goes first.
#pragma once

#if __has_include(<mpi.h>)
#include <mpi.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <bitset>
#include <cassert>
#include <cerrno>
#include <cfenv>
#include <cfloat>
#include <charconv>
#include <chrono>
#include <climits>
#include <cmath>
#include <compare>
#include <complex>
#include <concepts>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <memory>
#include <mutex>
#include <new>
#include <numbers>
#include <numeric>
#include <optional>
#include <ostream>
#include <random>
#include <ratio>
#include <span>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>
#include <version>
#if __has_include(<omp.h>)
#include <omp.h>
#endif
#if __has_include(<immintrin.h>)
#include <immintrin.h>
#endif

// What expands to a stray @ is an error wherever the name stands, also where one that expands to
// another name, or to nothing, would go unnoticed.

// <math.h>, <complex.h>, <termios.h>, <sys/sysmacros.h>
#define OVERFLOW @
#define UNDERFLOW @
#define DOMAIN @
#define I @
#define B0 @
#define major(x) @
#define minor(x) @

// windows.h
#define min(a, b) @
#define max(a, b) @
#define small @
#define near @
#define far @
#define interface @

// X11
#define None @
#define Bool @
#define Status @
#define Success @
#define Complex @
#define True @
#define False @
#define Always @
#define Convex @
#define Nonconvex @

// Qt
#define slots @
#define signals @
#define emit @
#define foreach(x, y) @
#define forever @

// predefined with -std=gnu++20
#undef unix
#undef linux
#define unix @
#define linux @
