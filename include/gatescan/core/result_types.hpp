#pragma once
// What a recurrence inherits, so that its own file names its operands and states its equation: the
// types of its results, states, tokens and problems. A member of the same name in the recurrence
// replaces the inherited one.

#include "error.hpp"
#include "fields.hpp"
#include "gated_product.hpp"
#include "scalar.hpp"
#include "view.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

/// For any layout of results; matrix_state and channel_state below cover the usual two. Out and
/// State are view, or complex_view. Beside it a recurrence declares out_axes, state_axes and a
/// problem.
template <class Recurrence, template <class> class Out = view, template <class> class State = view>
struct result_types {
  template <class T, class R = Recurrence>
  using inputs = typename R::template fields<input_views<T>>;
  template <class T, class R = Recurrence>
  using gradients = typename R::template fields<gradient_views<T>>;
  template <class T>
  struct outputs {
    Out<storage_t<T>> out{};
    State<state_t<T>> final_state{};
  };
  template <class T>
  struct output_gradients {
    Out<const storage_t<T>> out{};
    State<const state_t<T>> final_state{};
  };
  template <class T, class R = Recurrence>
  using token = typename R::template inputs<T>;  // without the time axis
  template <class T>
  using token_out = Out<storage_t<T>>;
  template <class T>
  using state = State<state_t<T>>;

  static constexpr recurrence_form form{};

  /// Numbers and switches beside the operands, as `operands` lists those: f(name, member...).
  static constexpr void options(auto&&, auto&&...) {}
  /// Refuses inputs that do not go together, by fail<shape_error>.
  template <class In>
  static void check(const In&) {}
};

/// A state [sequences, heads, keys, values] and out [batch, time, heads, values]. A complex state
/// is matrix_state<R, complex_view> and form.number = numbers::complex.
template <class Recurrence, template <class> class State = view>
struct matrix_state : result_types<Recurrence, view, State> {
  static constexpr axes out_axes{axis::batch, axis::time, axis::head, axis::value};
  static constexpr axes state_axes{axis::sequence, axis::head, axis::key, axis::value};

  template <class T>
  struct problem {
    using recurrence = Recurrence;
    using format = T;
    index_t batch = 1, time = 0, heads = 1, keys = 1, values = 1;
    index_t sequences = 0;  // packed sequences, when batch is 1; 0: as many as batch

    sizes size() const { return {sequences ? sequences : batch, batch, time, heads, keys, values}; }
  };
};

/// Keys of a channel, B and C shared by groups of channels: a state [sequences, channels, keys] and
/// out [batch, time, channels]. A complex state is grouped_channel_state<R, complex_view>.
template <class Recurrence, template <class> class State = view>
struct grouped_channel_state : result_types<Recurrence, view, State> {
  static constexpr axes out_axes{axis::batch, axis::time, axis::channel};
  static constexpr axes state_axes{axis::sequence, axis::channel, axis::key};

  template <class T>
  struct problem {
    using recurrence = Recurrence;
    using format = T;
    index_t batch = 1, time = 0, channels = 1, states = 1, groups = 1;
    index_t sequences = 0;  // packed sequences, when batch is 1; 0: as many as batch

    sizes size() const {
      if (groups < 1 || channels % groups != 0)
        fail<shape_error>("groups: expected a divisor of " + std::to_string(channels) +
                          " channels, got " + std::to_string(groups));
      return {sequences ? sequences : batch, batch, time, groups, states, channels / groups};
    }
  };
};

/// An average a channel: state parts [sequences, channels] and out [batch, time, channels].
template <class Recurrence, template <class> class State>
struct average_state : result_types<Recurrence, view, State> {
  static constexpr axes out_axes{axis::batch, axis::time, axis::channel};
  static constexpr axes state_axes{axis::sequence, axis::channel};
  static constexpr index_t states = 1;

  template <class T>
  struct problem {
    using recurrence = Recurrence;
    using format = T;
    index_t batch = 1, time = 0, channels = 1;
    index_t sequences = 0;  // packed sequences, when batch is 1; 0: as many as batch

    sizes size() const { return {sequences ? sequences : batch, batch, time, 1, 1, channels}; }
  };
};

/// One number a channel: a state [sequences, heads, channels] and out [batch, time, heads,
/// channels]. The channels are `axis::value` of the operands.
template <class Recurrence, template <class> class View = view>
struct channel_state : result_types<Recurrence, View, View> {
  static constexpr axes out_axes{axis::batch, axis::time, axis::head, axis::value};
  static constexpr axes state_axes{axis::sequence, axis::head, axis::value};
  static constexpr index_t states = 1;
  template <class E>
  using state_of = E;

  template <class T>
  struct problem {
    using recurrence = Recurrence;
    using format = T;
    index_t batch = 1, time = 0, heads = 1, channels = 1;
    index_t sequences = 0;  // packed sequences, when batch is 1; 0: as many as batch

    sizes size() const { return {sequences ? sequences : batch, batch, time, heads, 1, channels}; }
  };
};

}  // namespace GATESCAN_ABI
}  // namespace gatescan
