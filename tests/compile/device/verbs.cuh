// Every verb of the CUDA backend on one recurrence and format, as code that is never run: that it
// compiles, without a warning, is the test.
#pragma once

#include <gatescan/gatescan_cuda.cuh>

// nvcc takes a minute a format and recurrence (CMakeLists.txt, GATESCAN_COMPILE_EVERY_FORMAT)
#if defined(GATESCAN_EVERY_FORMAT)
#define GATESCAN_OTHER_FORMATS , double, gatescan::half, gatescan::wide<float>
#else
#define GATESCAN_OTHER_FORMATS
#endif

namespace device_compile {

template <class R, class T>
struct calls {
  using format = gatescan::device<T>;
  typename R::template inputs<format> in;
  typename R::template outputs<format> out;
  typename R::template output_gradients<format> d_out;
  typename R::template gradients<format> d_in;
  typename R::template token<format> token;
  typename R::template token_out<format> token_out;
  typename R::template state<format> state;

  template <class Backend, class Mode>
  void all(const Backend& gpu, const Mode& mode, const gatescan::workspace& scratch) const {
    gatescan::forward(gpu, mode, in, out, scratch);
    if constexpr (gatescan::differentiable<R>)
      gatescan::backward(gpu, mode, in, d_out, d_in, scratch);
    gatescan::step(gpu, token, state, token_out, scratch);
  }
};

template <class R, class... T, class Backend>
void in_formats(const Backend& gpu, const gatescan::workspace& scratch) {
  (calls<R, T>{}.all(gpu, gatescan::automatic{}, scratch), ...);
}

}  // namespace device_compile
