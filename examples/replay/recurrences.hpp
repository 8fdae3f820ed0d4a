// The library's recurrences as data: what each reads and writes, and where it is computed.
#pragma once

#include <gatescan/core/gated_product.hpp>
#include <gatescan/core/operand.hpp>
#include <gatescan/core/state.hpp>
#include <string>
#include <vector>

#include "device_calls/call.hpp"

namespace replay {

/// Something that is read or written: `NAME`, and `NAME_im` where it is complex.
struct member {
  enum kinds { operand, gate, state, offsets };  // of what numbers it consists

  std::string name;
  gatescan::axes axes;
  kinds kind = operand;
  bool required = false;
  bool may_be_complex = false;
  bool is_logarithm = false;  // of the scale of other tensors, which rounding would change
};

/// A switch of a recurrence: a flag, or a number.
struct option {
  std::string name;
  double value;  // if nobody says another
  bool is_flag;
};

/// One of the arrays of a state, by name: `initial_state.NAME`.
struct part {
  std::string name;
  gatescan::axes axes;
  gatescan::state_part which;
};

struct recurrence {
  std::string name;
  std::vector<member> operands;  // the first is [batch, time, ...], and always there
  std::vector<option> options;
  std::vector<part> parts;  // of a state
  bool complex_state;       // may be
  member out;
  gatescan::numbers number;
  /// Whether the state has a normaliser, the options being those.
  bool (*has_normaliser)(const std::vector<double>& options);
};

/// All of them, in the library's order.
const std::vector<recurrence>& recurrences();
/// Throws std::out_of_range where there is none of this name.
const recurrence& find_recurrence(const std::string& name);

/// How a recurrence is computed on the host; `format` as in device_calls/formats.hpp.
const device_calls::computation& host_computation(const std::string& recurrence,
                                                  const std::string& format);

}  // namespace replay
