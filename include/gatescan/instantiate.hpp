#pragma once
// The calls of a recurrence compiled once in a program of several source files. Kernels are nearly
// all of what a file that calls the library costs to compile.
//
//   GATESCAN_EXTERN(gatescan::gla, float);       in every file that calls it, or a header of theirs
//   GATESCAN_INSTANTIATE(gatescan::gla, float);  in one of them
//
// Both stand outside of all namespaces and name types in full. They mean forward and backward in
// every mode that the recurrence has and in `automatic`, by themselves and of a plan, and step, by
// itself and of a stepper, on cpu{}. The recurrence has to be differentiable. All these files are
// compiled for the same instructions, with or without OpenMP alike. GATESCAN_EXTERN_ON and
// GATESCAN_INSTANTIATE_ON also name the backend: (gatescan::cuda, gatescan::gla,
// gatescan::device<float>), where gatescan_cuda.cuh is included.

#include <type_traits>

#include "gatescan.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Stands in a list of all modes where R lacks one: recurrent mode once more, under a name that
/// nobody calls.
template <class Mode>
struct instead_of : recurrent {};
template <class R, class Mode>
using mode_if_supported = std::conditional_t<Mode::template supports<R>, Mode, instead_of<Mode>>;

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan

#define GATESCAN_EXTERN(Recurrence, Format) GATESCAN_EXTERN_ON(gatescan::cpu, Recurrence, Format)
#define GATESCAN_INSTANTIATE(Recurrence, Format) \
  GATESCAN_INSTANTIATE_ON(gatescan::cpu, Recurrence, Format)

#define GATESCAN_EXTERN_ON(Backend, Recurrence, Format) \
  GATESCAN_CALLS(extern template, Backend, Recurrence, Format)
#define GATESCAN_INSTANTIATE_ON(Backend, Recurrence, Format) \
  GATESCAN_CALLS(template, Backend, Recurrence, Format)

// Declares: `template` or `extern template`. What follows it ends with the caller's semicolon.
#define GATESCAN_CALLS(Declares, Backend, R, T)                                                   \
  Declares std::size_t gatescan::detail::step_bytes(const Backend&,                               \
                                                    const gatescan::detail::problem_of<R, T>&);   \
  Declares void gatescan::detail::run_step(                                                       \
      const Backend&, const gatescan::detail::problem_of<R, T>&,                                  \
      const gatescan::detail::forward_results<T>&, std::span<std::byte>);                         \
  GATESCAN_CALLS_IN(Declares, Backend, R, T, gatescan::recurrent)                                 \
  GATESCAN_CALLS_IN(Declares, Backend, R, T, gatescan::scan)                                      \
  GATESCAN_CALLS_IN(Declares, Backend, R, T, gatescan::chunked)                                   \
  GATESCAN_CALLS_IN(Declares, Backend, R, T, gatescan::attention)                                 \
  GATESCAN_CALLS_IN(Declares, Backend, R, T, gatescan::automatic)                                 \
  Declares void gatescan::step<Backend, R::inputs<T>>(const Backend&, const R::inputs<T>&,        \
                                                      const R::state<T>&, const R::token_out<T>&, \
                                                      const gatescan::workspace&)

// The verbs, and what a plan calls without them.
#define GATESCAN_CALLS_IN(Declares, Backend, R, T, Mode)                                         \
  Declares void gatescan::forward<Backend, GATESCAN_MODE(R, Mode), R::inputs<T>>(                \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const R::inputs<T>&, const R::outputs<T>&,  \
      const gatescan::workspace&);                                                               \
  Declares void gatescan::backward<Backend, GATESCAN_MODE(R, Mode), R::inputs<T>>(               \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const R::inputs<T>&,                        \
      const R::output_gradients<T>&, const R::gradients<T>&, const gatescan::workspace&);        \
  Declares std::size_t gatescan::detail::forward_bytes_of(                                       \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const gatescan::detail::problem_of<R, T>&); \
  Declares std::size_t gatescan::detail::backward_bytes_of(                                      \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const gatescan::detail::problem_of<R, T>&,  \
      const gatescan::detail::backward_results<R, T>&);                                          \
  Declares void gatescan::detail::run_forward_of(                                                \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const gatescan::detail::problem_of<R, T>&,  \
      const gatescan::detail::forward_results<T>&, const gatescan::workspace&);                  \
  Declares void gatescan::detail::run_backward_of(                                               \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const gatescan::detail::problem_of<R, T>&,  \
      const gatescan::detail::backward_results<R, T>&, const gatescan::workspace&);              \
  Declares std::size_t gatescan::detail::bytes_of_shape(                                         \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const gatescan::detail::problem_of<R, T>&); \
  Declares std::size_t gatescan::detail::bytes_of_views(                                         \
      const Backend&, const GATESCAN_MODE(R, Mode)&, const R::inputs<T>&, const R::gradients<T>&);

#define GATESCAN_MODE(R, Mode) gatescan::detail::mode_if_supported<R, Mode>
