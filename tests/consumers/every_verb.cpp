// Every verb of every recurrence, to be compiled with warnings that the library's own build does
// not turn on.
#include <gatescan/adapt/mdspan.hpp>
#include <gatescan/gatescan.hpp>

template <class R, class T, class Mode>
static void forward_and_backward(const Mode& mode) {
  using namespace gatescan;
  const typename R::template inputs<T> in{};
  const typename R::template outputs<T> out{};
  forward(cpu{}, mode, in, out);
  backward(cpu{}, mode, in, {}, typename R::template gradients<T>{});
}
template <class R, class T>
static void every_verb() {
  using namespace gatescan;
  forward_and_backward<R, T>(automatic{});
  forward_and_backward<R, T>(attention{});
  step(cpu{}, typename R::template inputs<T>{}, {}, {});
  const plan planned(cpu{}, chunked{c<16>}, typename R::template problem<T>{});
  describe(cpu{}, scan{}, typename R::template inputs<T>{});
}

void every_recurrence();
void every_recurrence() {
  every_verb<gatescan::elementwise, float>();
  every_verb<gatescan::gla, gatescan::bf16>();
  every_verb<gatescan::gateloop, float>();
  every_verb<gatescan::selective_scan, gatescan::wide<float>>();
}
