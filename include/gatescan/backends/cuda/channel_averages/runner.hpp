#pragma once
// Averages of channels on a device: sequence_scan of whole sequences in every mode, backward
// sequence_adjoint.

#include "../../../core/workspace.hpp"
#include "../../../modes/schedule.hpp"
#include "programs.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

template <class R, class T>
class average_runner {
  using C = state_t<T>;
  using problem = problem_of<R, T>;
  using results = backward_results<R, T>;
  using shared_part = averages::program_base<R, T>;
  using adjoint = averages::sequence_adjoint<R, T>;
  using collector = typename adjoint::collector;

 public:
  using format = T;
  average_runner(const problem& p, const schedule& how)
      : shared_{{p, {p.n, 1, true, tuned.block_threads}, {p.n, p.offsets, p.n.time}},
                how.form == kernel_form::steps} {}

  static preferences preferred(const sizes& n) {
    preferences best;
    best.parts = n.sequences * n.heads * n.values;
    return best;
  }
  schedule as_it_runs() const {
    return {kernel_form::segments, shared_.p.n.time, shared_.p.n.time, 1};
  }

  void lay_out_forward(arena&) {}
  template <class Device>
  void forward(const Device& gpu, const forward_results<T>& to) const {
    launch(gpu, averages::sequence_scan<R, T>{{shared_}, to.out, to.final_state});
  }

  void lay_out_backward(arena& memory, const results& r) {
    const sizes& n = shared_.p.n;
    shared_.map = {n, 1, collector::over_heads(r.d), tuned.block_threads};
    kept_.take(memory, shared_.split.chunk_count(n.batch, shared_part::chunk_tokens),
               shared_part::numbers, shared_.map.channels());
    collect_ = collector(r.d, n, shared_.split, shared_.map);
    collect_.take(memory);
    const auto sink = [&](const operand<C>& to) {
      gradient_sink<C, C> s(to, R::state_axes, n, shared_.split.packed, 1);
      s.take(memory);
      return s;
    };
    d_num_ = sink(r.initial_state), d_den_ = sink(r.initial_state.normaliser);
  }
  template <class Device>
  void backward(const Device& gpu, const results& r) const {
    launch(gpu, adjoint{{shared_}, r.out, r.final_state, kept_, collect_, d_num_, d_den_});
    collect_.add(gpu, shared_.p.n, shared_.split);
    add_partial_sums(gpu, d_num_, shared_.p.n, shared_.split.packed);
    add_partial_sums(gpu, d_den_, shared_.p.n, shared_.split.packed);
  }

 private:
  shared_part shared_;
  scratch_array<C> kept_;
  collector collect_;
  gradient_sink<C, C> d_num_, d_den_;
};

}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
