// A user's recurrence whose functions are marked for a device: a step of its own, an associative
// operator and adjoints. And the attention maps of those that have one.
#include "verbs.cuh"

namespace device_compile {

// h_t = max(h_{t-1} + d_t, x_t), as examples/own_recurrences.hpp has it
struct best_path : gatescan::channel_state<best_path>, gatescan::plain_output {
  static constexpr const char* name = "best_path";

  template <class V>
  struct fields {
    using recurrence = best_path;
    using format = gatescan::format_of<V>;
    gatescan::real_field<V> d{}, x{};
    gatescan::real_state_field<V> initial_state{};
    gatescan::offsets_field<V> sequence_offsets{};
  };
  GATESCAN_CALLS_ANY
  template <class F, class... S>
  GATESCAN_HD static constexpr void operands(F&& f, S&&... s) {
    using gatescan::axes;
    using enum gatescan::axis;
    f("d", axes{batch, time, head, value}, gatescan::presence::required, s.d...);
    f("x", axes{batch, time, head, value}, gatescan::presence::required, s.x...);
  }

  template <class E>
  struct move {
    E on, start;
  };
  template <class X, class At>
  GATESCAN_HD static auto values(const X& x, const At& at) {
    return move<decltype(at(x.x))>{at(x.d), at(x.x)};
  }
  template <class X, class E>
  GATESCAN_HD static E step(const X&, const move<E>& w, E h) {
    return apply(w, h);
  }
  template <class X, class E>
  GATESCAN_HD static move<E> element_of(const X&, const move<E>& w) {
    return w;
  }
  template <class E>
  GATESCAN_HD static move<E> identity() {
    return {E(0), -E(1e30f)};
  }
  template <class E>
  GATESCAN_HD static move<E> combine(const move<E>& later, const move<E>& earlier) {
    return {earlier.on + later.on, apply(later, earlier.start)};
  }
  template <class E>
  GATESCAN_HD static E apply(const move<E>& m, E h) {
    return gatescan::larger(h + m.on, m.start);
  }
  template <class X, class E>
  GATESCAN_HD static E step_adjoint(const X&, const move<E>& w, move<E>& d_w, E h, E d_h) {
    const E lead = h + w.on - w.start, none = E(0);
    const E d_on = gatescan::select_negative(lead, none, d_h);
    d_w.on = d_w.on + d_on;
    d_w.start = d_w.start + gatescan::select_negative(lead, d_h, none);
    return d_on;
  }
  template <class X, class D, class At, class E>
  GATESCAN_HD static void values_adjoint(const X&, const D& d, const At& at, const move<E>&,
                                         const move<E>& d_w) {
    at.add(d.d, d_w.on);
    at.add(d.x, d_w.start);
  }
};
static_assert(gatescan::scannable<best_path> && gatescan::differentiable<best_path>);

template void in_formats<best_path, float, double, gatescan::bf16>(const gatescan::cuda&,
                                                                   const gatescan::workspace&);

template <class R, class Map>
void map_of(const gatescan::cuda& gpu) {
  gatescan::attention_map(gpu, typename R::template inputs<gatescan::device<float>>{}, Map{});
}
void maps(const gatescan::cuda& gpu) {
  map_of<gatescan::gla, gatescan::view<float>>(gpu);
  map_of<gatescan::gateloop, gatescan::view<float>>(gpu);
  map_of<gatescan::selective_scan, gatescan::view<float>>(gpu);
  map_of<gatescan::mlstm, gatescan::view<float>>(gpu);
  map_of<gatescan::rwkv4, gatescan::view<float>>(gpu);
  map_of<gatescan::elementwise, gatescan::complex_view<float>>(gpu);
}

}  // namespace device_compile
