#pragma once
// The only macros of the library. GATESCAN_ABI tags the inline namespace with what changes
// generated code, so that translation units compiled with different flags can be linked into one
// program.

#if defined(__FAST_MATH__) || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__)
#error "gatescan needs IEEE arithmetic (resets, NaN): compile without -ffast-math"
#endif

#if defined(__CUDACC__)
#define GATESCAN_HD __host__ __device__
// before a GATESCAN_HD template that calls what it is given, be it host or device code
#define GATESCAN_CALLS_ANY _Pragma("nv_exec_check_disable")
#else
#define GATESCAN_HD
#define GATESCAN_CALLS_ANY
#endif

#define GATESCAN_INLINE inline __attribute__((always_inline))

// before a member of a recurrence: static, on host and device, its registers stay registers
#define GATESCAN_MEMBER GATESCAN_HD GATESCAN_INLINE static

#if defined(__AVX512F__) && defined(_OPENMP)
#define GATESCAN_ABI avx512_omp
#elif defined(__AVX512F__)
#define GATESCAN_ABI avx512
#elif defined(__AVX2__) && defined(__FMA__) && defined(_OPENMP)
#define GATESCAN_ABI avx2_omp
#elif defined(__AVX2__) && defined(__FMA__)
#define GATESCAN_ABI avx2
#elif defined(_OPENMP)
#define GATESCAN_ABI base_omp
#else
#define GATESCAN_ABI base
#endif
