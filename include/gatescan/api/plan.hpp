#pragma once
// A plan: the backend, the mode and the shape fixed once, so that the workspace can be asked for
// beforehand.

#include "verbs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

// Inputs of a problem's shape without data, enough to lay out the workspace.
template <class Problem>
auto shape_only(const Problem& problem, bool normalised) {
  using R = typename Problem::recurrence;
  problem_of<R, typename Problem::format> p;
  p.n = problem.size();
  check_sizes(p.n);
  if (p.n.sequences != p.n.batch && p.n.batch != 1)
    fail<shape_error>("sequences: expected batch 1 with packed sequences, got batch " +
                      std::to_string(p.n.batch));
  p.normalised = normalised;
  if constexpr (requires { problem.complex; })
    p.complex = problem.complex;
  else
    p.complex = R::form.number == numbers::complex;
  return p;
}

// All gradients, dense, each operand with all the heads it can have; with one key and value where
// it may have `ones`.
template <class R, class T>
backward_results<R, T> every_gradient(const problem_of<R, T>& p, bool ones) {
  backward_results<R, T> r;
  const auto dense = [&](const axes& a, auto& to) {
    layout x;
    x.rank = a.rank;
    index_t step = 1;
    for (int i = a.rank - 1; i >= 0; --i) {
      const bool one = ones && (a.of[i] == axis::key_or_one || a.of[i] == axis::value_or_one);
      x.shape[i] = one ? 1 : extent(p.n, a.of[i]);
      x.stride[i] = step;
      step *= std::max<index_t>(x.shape[i], 1);
    }
    using element = std::remove_pointer_t<decltype(to.re)>;
    to = canonical<element>(x, nullptr, nullptr, a, p.n);
    to.complex = p.complex;
  };
  R::operands([&](const char*, const axes& a, presence, auto& to) { dense(a, to); }, r.d);
  using state = typename R::template state<T>;
  for_each_part<R>(
      [&](state_part which, const char*, const axes& a, const auto&) {
        if (which == state_part::product || (which == state_part::normaliser && p.normalised))
          dense(a, r.initial_state[which]);
      },
      state{});
  return r;
}

// Functions of their own, so that a program of several files compiles them once (instantiate.hpp).

/// Scratch that is enough for any call of this shape whose operands have all heads.
template <class Backend, class Mode, class R, class T>
std::size_t bytes_of_shape(const Backend& where, const Mode& mode, const problem_of<R, T>& p) {
  std::size_t bytes = step_bytes(where, p);
  const auto add = [&](std::size_t more) { bytes = (std::max)(bytes, more); };
  const auto add_forward = [&](const auto& m) { add(forward_bytes_of(where, m, p)); };
  const auto add_backward = [&](const auto& m) {
    if constexpr (differentiable<R>)
      for (const bool ones : {false, true})
        add(backward_bytes_of(where, m, p, every_gradient(p, ones)));
  };
  if constexpr (std::is_same_v<Mode, automatic>) {
    // the choice depends on strides and on how long sequences are, which a shape does not say
    const bool shorter = p.n.sequences != p.n.batch && !on_device<T>;
    const preferences best = preferences_of(where, p);
    automatic::for_each<R>(p.n.time, shorter, best, direction::forward, add_forward);
    automatic::for_each<R>(p.n.time, shorter, best, direction::backward, add_backward);
  } else {
    add_forward(mode);
    add_backward(mode);
  }
  return bytes;
}
/// For backward of these very views.
template <class Backend, class Mode, class In>
std::size_t bytes_of_views(const Backend& where, const Mode& mode, const In& in,
                           const gradients_of<In>& d) {
  const auto p = bind_inputs<typename In::recurrence>(in);
  const auto r = bind_gradients(p, in, {}, d);
  return backward_bytes_of(where, mode, p, r);
}

}  // namespace detail

/// plan{cpu{}, chunked{64}, gla::problem<float>{.batch = 1, .time = 4096, .heads = 8, .keys = 128,
/// .values = 128}}
///
/// The verbs check that operands have this shape. workspace_bytes() is enough for forward, backward
/// and step of operands that have all heads; where operands or gradients share heads or have stride
/// 0, backward needs what workspace_bytes(in, gradients) says. With scratch given nothing is
/// allocated. A const plan may be used from many threads at once, each with a scratch of its own.
template <class Backend, class Mode, class Problem>
class plan {
 public:
  using recurrence_type = typename Problem::recurrence;
  using format = typename Problem::format;
  using inputs = typename recurrence_type::template inputs<format>;
  using outputs = detail::outputs_of<inputs>;
  using output_gradients = detail::output_gradients_of<inputs>;

  plan(const Backend& backend, const Mode& mode, const Problem& problem)
      : backend_(for_one_call(backend, detail::shape_only(problem, false))),
        mode_(mode),
        n_(problem.size()) {
    static_assert(detail::is_a_call<Backend, Mode, inputs>());
    for (const bool normalised : {false, true})  // a switch of the operands says which
      if (!normalised || recurrence_type::form.normaliser)
        bytes_ = (std::max)(bytes_, detail::bytes_of_shape(
                                        backend_, mode_, detail::shape_only(problem, normalised)));
  }

  std::size_t workspace_bytes() const { return bytes_; }

  /// For these very views.
  template <class Gradients>
  std::size_t workspace_bytes(const inputs& in, const Gradients& d) const {
    return (std::max)(bytes_, detail::bytes_of_views(backend_, mode_, in, d));
  }

  void forward(const inputs& in, const outputs& out, const workspace& scratch = {}) const {
    const auto p = bound(in);
    detail::run_forward_of(backend_, mode_, p, detail::bind_outputs(p, in, out), scratch);
  }
  void backward(const inputs& in, const output_gradients& d_out,
                const typename recurrence_type::template gradients<format>& d,
                const workspace& scratch = {}) const {
    if constexpr (detail::is_a_backward_call<Backend, Mode, inputs>()) {
      const auto p = bound(in);
      const auto r = detail::bind_gradients(p, in, d_out, d);
      detail::run_backward_of(backend_, mode_, p, r, scratch);
    }
  }

 private:
  auto bound(const inputs& in) const {
    const auto p = detail::bind_inputs<recurrence_type>(in);
    const sizes& n = p.n;
    const auto same = [](const char* what, index_t planned, index_t got) {
      if (planned != got)
        fail<shape_error>(std::string("plan: expected ") + what + " " + std::to_string(planned) +
                          ", got " + std::to_string(got));
    };
    same("batch", n_.batch, n.batch);
    same("time", n_.time, n.time);
    same("heads", n_.heads, n.heads);
    same("keys", n_.keys, n.keys);
    same("values", n_.values, n.values);
    same("sequences", n_.sequences, n.sequences);
    return p;
  }

  Backend backend_;
  Mode mode_;
  sizes n_;
  std::size_t bytes_ = 0;
};

template <class Backend, class Mode, class Problem>
plan(const Backend&, const Mode&, const Problem&) -> plan<Backend, Mode, Problem>;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
