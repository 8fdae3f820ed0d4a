#pragma once
// A piece of time on a device: its tokens are a problem whose first state a neighbour has, and
// whose last one goes to a neighbour (core/neighbours.hpp). Programs run as ever. The state is
// received before the first program that needs it, while those before it run, and leaves after the
// program that completes it, before the others run:
//
//   forward     what needs no state; receive S; states; send S; outputs
//   backward    the same without outputs, for the neighbour after; receive dS; ...; send dS
//
// States are of the caller's numbers between pieces: all modes hand on the same.

#include "../execute.hpp"
#include "state_rows.hpp"
#include "way_beside.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {

/// A device that launches a piece's programs.
template <class Device, class Piece>
struct piece_device {
  static constexpr bool on_device = true;
  const Device& gpu;
  Piece& piece;

  template <class Program>
  friend void launch(const piece_device& own, const Program& program) {
    own.piece.before(needs_of<Program>());
    launch(own.gpu, program);
    own.piece.after(program);
  }

 private:
  template <class Program>
  static consteval needs needs_of() {
    if constexpr (requires { Program::of_beside; })
      return Program::of_beside;
    else
      return needs::everything;
  }
};

/// One call.
template <class Device, class R, class T>
class piece_of_time {
  using C = state_t<T>;

 public:
  piece_of_time(const Device& gpu, const problem_of<R, T>& p)
      : gpu_(gpu), p_(p), way_(gpu, *p.beside), state_in_(p), state_out_(p), d_in_(p), d_out_(p) {}

  void lay_out_forward(arena& memory) { state_in_.take(memory), state_out_.take(memory); }
  void lay_out_backward(arena& memory) {
    lay_out_forward(memory);
    d_in_.take(memory), d_out_.take(memory);
  }

  /// The rest of `memory` is the runners'.
  void forward(const forward_results<T>& to, const schedule& how, const arena& memory) {
    begin();
    run_forward(to, how, memory);
    way_.settle();
  }
  void backward(const backward_results<R, T>& r, const schedule& how, const arena& memory) {
    begin();
    if (p_.beside->after) run_forward({}, how, memory);
    backward_results<R, T> own = r;
    if (p_.beside->after) {
      copy(r.final_state, d_in_.operands(true), 0, p_.n.sequences - 1);
      own.final_state = d_in_.template operands<const C>(true);
      awaits_gradient_ = true;
    }
    if (p_.beside->before) {
      own.initial_state = d_out_.operands(true);
      leaving_ = {gatescan::side::before, crossing(d_out_, gatescan::side::before), d_out_.row(0)};
    }
    with_runner<Device>(p_, [&]<class Runner>() {
      const auto problem = in_format<typename Runner::format>(p_);
      const auto results = in_format<typename Runner::format>(own);
      arena rest = memory;
      Runner runner(problem, how);
      runner.lay_out_backward(rest, results);
      runner.backward(piece_device<Device, piece_of_time>{gpu_, *this}, results);
      finish();
      if (p_.beside->before && packed()) store_own_gradients(r.initial_state, rest);
    });
    way_.settle();
  }
  /// Of the sums that several sequences' gradients of one first state take.
  static void lay_out_sums(const problem_of<R, T>& p, const state_operands<C>& to, arena& memory) {
    with_sinks(p, to, [&](state_part, const axes&, auto& sink) { sink.take(memory); });
  }

  // of piece_device
  void before(needs what) {
    if (what == needs::nothing) return;
    if (awaits_state_) receive(gatescan::side::before, state_in_);
    awaits_state_ = false;
    if (what == needs::state) return;
    if (awaits_gradient_) receive(gatescan::side::after, d_in_);
    awaits_gradient_ = false;
  }
  template <class Program>
  void after(const Program& program) {
    if (completes(program)) send();
  }

 private:
  struct message {
    gatescan::side to = gatescan::side::after;
    const void* numbers = nullptr;
    const void* rows = nullptr;  // where those lie
  };

  bool packed() const { return p_.offsets != nullptr; }
  // What crosses: of packed sequences the first, or the last one's state, else all.
  C* crossing(const state_rows<R, T>& rows, gatescan::side where) const {
    return rows.row(packed() && where == gatescan::side::after ? p_.n.sequences - 1 : 0);
  }
  std::size_t bytes() const {
    return state_in_.bytes_of_row() *
           static_cast<std::size_t>(packed() ? index_t{1} : p_.n.sequences);
  }
  void receive(gatescan::side from, const state_rows<R, T>& rows) {
    way_.receive(from, crossing(rows, from), bytes());
  }
  void send() {
    if (leaving_.numbers != nullptr) way_.send(leaving_.to, leaving_.numbers, bytes());
    leaving_ = {};
  }
  void finish() {
    before(needs::everything);
    send();
  }

  // Whether a program has written all of what leaves: programs name their results alike.
  template <class Program>
  bool completes(const Program& x) const {
    if (leaving_.numbers == nullptr) return false;
    const auto is_it = [&](const void* to) { return to == leaving_.rows; };
    if constexpr (requires { x.final_state.re; })
      if (is_it(x.final_state.re)) return true;
    if constexpr (requires { x.initial_state.exclusive; })
      if (is_it(x.initial_state.to.re)) return x.initial_state.exclusive;
    if constexpr (requires { x.d_initial.exclusive; })
      if (is_it(x.d_initial.to.re)) return x.d_initial.exclusive;
    return false;
  }

  void begin() {
    if (!p_.beside->before) return;
    if (packed()) copy(p_.initial_state, state_in_.operands(), 1, p_.n.sequences);
    p_.initial_state = state_in_.template operands<const C>();
    awaits_state_ = true;
  }
  void run_forward(const forward_results<T>& to, const schedule& how, const arena& memory) {
    forward_results<T> own = to;
    if (p_.beside->after) {
      own.final_state = state_out_.operands();
      leaving_ = {gatescan::side::after, crossing(state_out_, gatescan::side::after),
                  state_out_.row(0)};
    }
    with_runner<Device>(p_, [&]<class Runner>() {
      const auto problem = in_format<typename Runner::format>(p_);
      arena rest = memory;
      Runner runner(problem, how);
      runner.lay_out_forward(rest);
      runner.forward(piece_device<Device, piece_of_time>{gpu_, *this},
                     in_format<typename Runner::format>(own));
      finish();
    });
    if (p_.beside->after && packed())
      copy(state_out_.template operands<const C>(), to.final_state, 0, p_.n.sequences - 1);
  }

  // Sequences [first, last) of all parts.
  void copy(const state_operands<const C>& from, const state_operands<C>& to, index_t first,
            index_t last) const {
    state_operands<const C> x = from;
    state_operands<C> y = to;
    state_in_.for_each([&](state_part which, const axes& a, index_t) {
      if (!y[which].given) return;
      const bool scale = which == state_part::log_scale;
      launch(gpu_, copy_state<C>{x[which], y[which], first, last, p_.n.heads, state_in_.keys(a),
                                 state_in_.values(a), scale ? token_weight<C>::never : C(0)});
    });
  }
  // f(which part, its axes, sink of its gradient)
  template <class F>
  static void with_sinks(const problem_of<R, T>& p, const state_operands<C>& to, F&& f) {
    state_operands<C> y = to;
    state_rows<R, T>(p).for_each([&](state_part which, const axes& a, index_t) {
      gradient_sink<C, C> sink(y[which], a, p.n, p.offsets != nullptr, 1);
      if (sink.to.given) f(which, a, sink);
    });
  }
  void store_own_gradients(const state_operands<C>& to, arena& memory) const {
    auto from = d_out_.template operands<const C>(true);
    with_sinks(p_, to, [&](state_part which, const axes& a, auto& sink) {
      sink.take(memory);
      launch(gpu_, store_state_gradient<C>{from[which], sink, p_.n.sequences, p_.n.heads,
                                           state_in_.keys(a), state_in_.values(a)});
      add_partial_sums(gpu_, sink, p_.n, true);
    });
  }

  const Device& gpu_;
  problem_of<R, T> p_;
  way_beside<Device> way_;
  state_rows<R, T> state_in_, state_out_, d_in_, d_out_;  // d: gradients
  message leaving_{};
  bool awaits_state_ = false, awaits_gradient_ = false;
};

}  // namespace gpu

/// Scratch of a piece's call, which does not depend on who has tokens beside it.
template <device_backend Device, class R, class T>
std::size_t piece_forward_bytes(const Device& gpu, const problem_of<R, T>& p, const schedule& how) {
  if (p.beside == nullptr) return forward_bytes(gpu, p, how);
  arena measure;
  gpu::piece_of_time<Device, R, T>(gpu, p).lay_out_forward(measure);
  return measure.bytes_needed() + forward_bytes(gpu, p, how);
}
template <device_backend Device, class R, class T>
std::size_t piece_backward_bytes(const Device& gpu, const problem_of<R, T>& p,
                                 const backward_results<R, T>& r, const schedule& how) {
  if (p.beside == nullptr) return backward_bytes(gpu, p, r, how);
  arena measure;
  gpu::piece_of_time<Device, R, T>(gpu, p).lay_out_backward(measure);
  gpu::piece_of_time<Device, R, T>::lay_out_sums(p, r.initial_state, measure);
  return measure.bytes_needed() +
         (std::max)(forward_bytes(gpu, p, how), backward_bytes(gpu, p, r, how));
}
template <device_backend Device, class R, class T>
void run_piece_forward(const Device& gpu, const problem_of<R, T>& p, const forward_results<T>& to,
                       const schedule& how, std::span<std::byte> scratch) {
  if (p.beside == nullptr) return run_forward(gpu, p, to, how, scratch);
  arena memory(scratch);
  gpu::piece_of_time<Device, R, T> piece(gpu, p);
  piece.lay_out_forward(memory);
  piece.forward(to, how, memory);
}
template <device_backend Device, class R, class T>
void run_piece_backward(const Device& gpu, const problem_of<R, T>& p,
                        const backward_results<R, T>& r, const schedule& how,
                        std::span<std::byte> scratch) {
  if (p.beside == nullptr) return run_backward(gpu, p, r, how, scratch);
  arena memory(scratch);
  gpu::piece_of_time<Device, R, T> piece(gpu, p);
  piece.lay_out_backward(memory);
  piece.backward(r, how, memory);
}

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
