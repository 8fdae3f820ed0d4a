// Names that widespread headers define as macros: <complex.h>, <termios.h>, windows.h, X11 and
// <math.h>. gatescan must read the same when they are there. The standard library is not expected
// to, so it goes first.
#pragma once

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

#define min(a, b) hostile
#define max(a, b) hostile
#define small hostile
#define near hostile
#define far hostile
#define interface hostile
#define I hostile
#define B0 hostile
#define None hostile
#define Bool hostile
#define Status hostile
#define Success hostile
#define OVERFLOW hostile
#define UNDERFLOW hostile
#define DOMAIN hostile
#define major(x) hostile
#define minor(x) hostile
