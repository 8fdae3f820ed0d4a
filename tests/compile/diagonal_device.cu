// The programs of diagonal states, and of recurrences with a step of their own, are device code as
// they stand: forward, backward, step and attention map in every format. Compiled, not run.

#include <gatescan/api/attention_map.hpp>
#include <gatescan/api/verbs.hpp>
#include <gatescan/backends/cuda/execute.hpp>
#include <gatescan/backends/cuda/hardware.cuh>
#include <gatescan/recurrences/elementwise.hpp>
#include <gatescan/recurrences/selective_scan.hpp>

namespace device_test {

template <class R, class T>
void every_verb(const gatescan::cuda& gpu,
                const typename R::template inputs<gatescan::device<T>>& in,
                const typename R::template outputs<gatescan::device<T>>& out,
                const typename R::template output_gradients<gatescan::device<T>>& d_out,
                const typename R::template gradients<gatescan::device<T>>& d) {
  gatescan::forward(gpu, gatescan::chunked{}, in, out);
  gatescan::backward(gpu, gatescan::chunked{}, in, d_out, d);
  gatescan::step(gpu, in, out.final_state, out.out);
}

#define GATESCAN_TEST(R, T)                                                  \
  template void every_verb<gatescan::R, T>(                                  \
      const gatescan::cuda&, const gatescan::R::inputs<gatescan::device<T>>&, \
      const gatescan::R::outputs<gatescan::device<T>>&,                      \
      const gatescan::R::output_gradients<gatescan::device<T>>&,             \
      const gatescan::R::gradients<gatescan::device<T>>&)
GATESCAN_TEST(elementwise, float);
GATESCAN_TEST(selective_scan, float);

}  // namespace device_test
