#pragma once
// What the library asks of the compiler, and two inline namespaces that let translation units
// compiled with different flags, and different versions of the library, be linked into one program.
// instantiate.hpp has macros for users.
//
//   GATESCAN_TYPES  what is the same under any flags: views, number formats, options, errors. One
//                   part of a program may hand them to another. Their functions are
//                   GATESCAN_UNLINKED, so that none is left to the linker.
//   GATESCAN_ABI    what is compiled: its name says under which flags, so that the linker never
//                   puts a function for one machine in the place of one for another.

#include "../version.hpp"

// (nvcc's -use_fast_math tells the headers nothing)
#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__) || \
    defined(__ASSOCIATIVE_MATH__) || defined(__NO_SIGNED_ZEROS__) || defined(__RECIPROCAL_MATH__)
#error \
    "gatescan needs IEEE arithmetic (resets, NaN): compile without -ffast-math and its parts \
(-ffinite-math-only, -fassociative-math, -fno-signed-zeros, -freciprocal-math)"
#endif

#if defined(__CUDACC__)
#define GATESCAN_HD __host__ __device__
// before a GATESCAN_HD template that calls what it is given, be it host or device code
#define GATESCAN_CALLS_ANY _Pragma("nv_exec_check_disable")
#else
#define GATESCAN_HD
#define GATESCAN_CALLS_ANY
#endif

// Kernels hang on what is inline and in registers, so both are forced. Where nothing is optimised
// every temporary would have a place of its own on the stack, 600 kB of them in one function.
#if defined(__OPTIMIZE__) || defined(__CUDACC__)
#define GATESCAN_INLINE inline __attribute__((always_inline))
#define GATESCAN_FLATTEN __attribute__((flatten))
#else
#define GATESCAN_INLINE inline
#define GATESCAN_FLATTEN
#endif
// functions of GATESCAN_TYPES
#define GATESCAN_UNLINKED inline __attribute__((always_inline))

// before a member of a recurrence: static, on host and device, its registers stay registers
#define GATESCAN_MEMBER GATESCAN_HD GATESCAN_INLINE static

// before a recurrence's `operands`, which calls what it is given
#define GATESCAN_LIST GATESCAN_CALLS_ANY GATESCAN_HD static constexpr void

// before a recurrence's `options`, which is called on the host alone: nvcc refuses what is called
// there in a function of a device, if that is constexpr
#define GATESCAN_SWITCHES static constexpr void

// One word out of up to seven, each expanded first.
#define GATESCAN_JOIN(a, b, c, d, e, f, g) GATESCAN_JOINED(a, b, c, d, e, f, g)
#define GATESCAN_JOINED(a, b, c, d, e, f, g) a##b##c##d##e##f##g

// GATESCAN_BIT(__AVX2__) is 1 where the compiler may use that instruction set, else 0: the name is
// replaced by 1 there, GATESCAN_COMMA_1 by a comma, and the 1 behind it comes second.
#define GATESCAN_BIT(set) GATESCAN_BIT_OF(set)
#define GATESCAN_BIT_OF(one) GATESCAN_BIT_FROM(GATESCAN_COMMA_##one 1, 0, 0)
#define GATESCAN_COMMA_1 0,
#define GATESCAN_BIT_FROM(...) GATESCAN_SECOND(__VA_ARGS__)
#define GATESCAN_SECOND(first, second, ...) second

#if defined(__aarch64__)
#define GATESCAN_INSTRUCTIONS                                                         \
  GATESCAN_JOIN(_neon, GATESCAN_BIT(__ARM_NEON), GATESCAN_BIT(__ARM_FEATURE_DOTPROD), \
                GATESCAN_BIT(__ARM_FEATURE_FP16_VECTOR_ARITHMETIC), _sve,             \
                GATESCAN_BIT(__ARM_FEATURE_SVE), GATESCAN_BIT(__ARM_FEATURE_SVE2))
#else
#define GATESCAN_SSE                                                                           \
  GATESCAN_JOIN(_sse, GATESCAN_BIT(__SSE2__), GATESCAN_BIT(__SSE3__), GATESCAN_BIT(__SSSE3__), \
                GATESCAN_BIT(__SSE4_1__), GATESCAN_BIT(__SSE4_2__), )
#if defined(__AVX__)
#define GATESCAN_AVX                                                                        \
  GATESCAN_JOIN(_avx, GATESCAN_BIT(__AVX__), GATESCAN_BIT(__F16C__), GATESCAN_BIT(__FMA__), \
                GATESCAN_BIT(__AVX2__), GATESCAN_BIT(__BMI__), GATESCAN_BIT(__BMI2__))
#else
#define GATESCAN_AVX
#endif
#if defined(__AVX512F__)
#define GATESCAN_AVX512                                                          \
  GATESCAN_JOIN(_avx512_, GATESCAN_BIT(__AVX512F__), GATESCAN_BIT(__AVX512CD__), \
                GATESCAN_BIT(__AVX512VL__), GATESCAN_BIT(__AVX512BW__),          \
                GATESCAN_BIT(__AVX512DQ__), GATESCAN_BIT(__AVX512VBMI__))
#else
#define GATESCAN_AVX512
#endif
#define GATESCAN_INSTRUCTIONS GATESCAN_JOIN(GATESCAN_SSE, GATESCAN_AVX, GATESCAN_AVX512, , , , )
#endif

#if defined(_OPENMP)
#define GATESCAN_THREADS _openmp
#else
#define GATESCAN_THREADS
#endif

#if defined(__cpp_exceptions)
#define GATESCAN_EXCEPTIONS
#else
#define GATESCAN_EXCEPTIONS _no_exceptions
#endif

#define GATESCAN_TYPES \
  GATESCAN_JOIN(v, GATESCAN_VERSION_MAJOR, _, GATESCAN_VERSION_MINOR, _, GATESCAN_VERSION_PATCH, )
#define GATESCAN_ABI \
  GATESCAN_JOIN(GATESCAN_TYPES, GATESCAN_INSTRUCTIONS, GATESCAN_THREADS, GATESCAN_EXCEPTIONS, , , )
