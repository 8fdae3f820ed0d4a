#include "replay.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "host.hpp"
#include "operands.hpp"
#include "recurrences.hpp"

namespace replay {
namespace {

using device_calls::plain_sizes;

/// Of packed sequences; nothing where there are none.
std::vector<std::int64_t> sequence_offsets(const safetensors::entries& file) {
  const auto at = file.find("sequence_offsets");
  if (at == file.end() || at->second.dtype != "I64") return {};
  const auto& bytes = at->second.bytes;
  std::vector<std::int64_t> offsets(bytes.size() / sizeof(std::int64_t));
  if (!bytes.empty()) std::memcpy(offsets.data(), bytes.data(), bytes.size());
  return offsets;
}
/// A device's own memory cannot be looked into, and pieces are cut by them, so offsets are checked
/// here.
void check_sequence_offsets(const std::vector<std::int64_t>& offsets, std::int64_t tokens) {
  const std::string name = "sequence_offsets";
  if (offsets.empty()) return;
  std::int64_t last = 0;
  for (std::size_t i = 0; i < offsets.size(); ++i) {
    if (offsets[i] < last || (i == 0 && offsets[i] != 0)) {
      throw tensor_error(name, "must start at 0 and never fall, has " + std::to_string(offsets[i]) +
                                   " at place " + std::to_string(i));
    }
    last = offsets[i];
  }
  if (last != tokens) {
    throw tensor_error(name, "must end at the " + std::to_string(tokens) +
                                 " tokens given, ends at " + std::to_string(last));
  }
}

/// The dtype of the file's tensors: that of an operand that every use of the recurrence has, and
/// that no gate is made of.
std::string dtype_of(const recurrence& r, const safetensors::entries& file) {
  const auto& first = std::find_if(r.operands.begin(), r.operands.end(), [](const member& m) {
    return m.required && m.kind == member::operand;
  });
  const std::string& name = first->name;
  const auto tensor = file.find(name);
  if (tensor == file.end()) throw tensor_error(name, "is missing");
  const std::string& dtype = tensor->second.dtype;
  if (dtype != "F64" && dtype != "F32" && dtype != "BF16" && dtype != "F16")
    throw tensor_error(
        name, "must have dtype F64, F32, BF16 or F16, has " + safetensors::printable(dtype));
  return dtype;
}

/// Gates in floats beside operands of 16 bits: all are computed with as floats, which these are
/// exactly.
std::string given_dtype_of(const recurrence& r, const safetensors::entries& file,
                           const std::string& dtype) {
  for (const member& m : r.operands) {
    const auto tensor = file.find(m.name);
    if (m.kind == member::gate && safetensors::size_of(dtype) == 2 && tensor != file.end() &&
        tensor->second.dtype == "F32")
      return "F32";
  }
  return dtype;
}

/// The extent of an axis in the results: the largest that an operand has there.
std::int64_t& extent(plain_sizes& n, gatescan::axis a) {
  using enum gatescan::axis;
  switch (a) {
    case batch:
      return n.batch;
    case sequence:
      return n.sequences;
    case time:
      return n.time;
    case head:
      return n.heads;
    case group:
      return n.groups;
    case key:
    case key_or_one:
      return n.keys;
    case value:
    case value_or_one:
      return n.values;
    case channel:
      break;
  }
  return n.channels;
}
plain_sizes sizes_of(const recurrence& r, const device_calls::call& c) {
  plain_sizes n;
  n.batch = 0;
  for (std::size_t i = 0; i < c.operands.size(); ++i) {
    const plain_view& x = c.operands[i];
    const gatescan::axes& declared = r.operands[i].axes;
    int given = 0;
    for (int axis = 0; axis < declared.rank && given < x.rank; ++axis) {
      const gatescan::axis meaning = declared.of[axis];
      if (x.rank < declared.rank && meaning == gatescan::axis::group) continue;  // not given
      std::int64_t& to = extent(n, meaning);
      to = std::max(to, x.shape[given++]);
    }
  }
  return n;
}

/// Switches as they are by default, or as asked for.
std::vector<double> options_of(const recurrence& r, const options& asked) {
  std::vector<double> values;
  for (const option& o : r.options) {
    const auto given = asked.switches.find(o.name);
    values.push_back(given == asked.switches.end() ? o.value : given->second);
  }
  return values;
}

/// `initial_state` or `final_state` as tensors: its parts by name, or the only one by that of the
/// state. No name: this problem does not have it.
std::vector<member> parts_of(const recurrence& r, const std::string& state, bool normalised) {
  std::vector<member> all;
  std::size_t count = 0;
  for (const part& p : r.parts) {
    const bool has = p.which != gatescan::state_part::normaliser || normalised;
    count += has;
    all.push_back({has ? state + "." + p.name : "", p.axes, member::state, false, r.complex_state,
                   p.which == gatescan::state_part::log_scale});
  }
  for (member& m : all)
    if (count == 1 && !m.name.empty()) m.name = state;
  return all;
}

/// F64 is wide already.
bool is_wide(const options& asked, const std::string& dtype) {
  return asked.wide && dtype != "F64";
}
operands read_from(const options& asked, const safetensors::entries& file, const piece& part,
                   device_calls::device& where) {
  const recurrence& r = find_recurrence(asked.recurrence);
  const std::string dtype = dtype_of(r, file);
  return {file,
          part,
          where,
          dtype,
          given_dtype_of(r, file, dtype),
          is_wide(asked, dtype) || dtype == "F64" ? "F64" : "F32"};
}
const device_calls::computation& computation_of(const options& asked,
                                                const safetensors::entries& file,
                                                device_calls::device& where) {
  const recurrence& r = find_recurrence(asked.recurrence);
  const std::string dtype = dtype_of(r, file);
  return where.find(r.name,
                    given_dtype_of(r, file, dtype) + (is_wide(asked, dtype) ? " wide" : ""));
}

}  // namespace

job::job(const options& asked, const safetensors::entries& file, const piece& part,
         device_calls::device& where)
    : where_(where),
      operands_(read_from(asked, file, part, where)),
      how_(computation_of(asked, file, where)) {
  const recurrence& r = find_recurrence(asked.recurrence);
  operands& from = operands_;
  device_calls::call& c = forward_;
  c.mode = asked.mode;
  c.chunk = asked.chunk.value_or(0);
  c.segments = asked.segments.value_or(0);
  c.threads = asked.threads;
  c.options = options_of(r, asked);
  for (const member& m : r.operands) c.operands.push_back(from.read(m));
  const bool normalised = r.has_normaliser(c.options);
  const std::vector<member> initial = parts_of(r, "initial_state", normalised),
                            final = parts_of(r, "final_state", normalised);
  // f(a part's member) of those that there are, or no view; m has no gradient
  const auto each_part = [&](const std::vector<member>& parts, bool gradients, const auto& f) {
    std::vector<plain_view> views;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const bool fixed = gradients && r.parts[i].which == gatescan::state_part::log_scale;
      views.push_back(parts[i].name.empty() || fixed ? plain_view{} : f(parts[i]));
    }
    return views;
  };
  c.initial_state = each_part(initial, false, [&](const member& m) { return from.read(m); });
  c.sequence_offsets = from.read({"sequence_offsets", {gatescan::axis::sequence}, member::offsets});
  const bool is_complex = r.number == gatescan::numbers::complex ||
                          (r.number == gatescan::numbers::either && from.has_imaginary_parts());
  const bool complex_out = is_complex && r.out.may_be_complex,
             complex_state = is_complex && r.complex_state;
  device_calls::call back = c;
  if (asked.grad) {
    back.out = from.read_gradient(r.out, complex_out);
    back.final_state = each_part(
        final, true, [&](const member& m) { return from.read_gradient(m, complex_state); });
    from.reject_unknown({});
  } else {
    std::vector<std::string> gradients{"d_out", "d_out_im"};
    for (const member& m : final)
      for (const char* imaginary : {"", "_im"}) gradients.push_back("d_" + m.name + imaginary);
    from.reject_unknown(gradients);
  }

  plain_sizes n = sizes_of(r, c);
  n.complex = is_complex;
  const bool packed = c.sequence_offsets.rank > 0;
  if (packed) n.sequences = c.sequence_offsets.shape[0] - 1;
  if (n.sequences < 0) throw tensor_error("sequence_offsets", "is empty");
  c.size = back.size = n;
  plain_sizes full = n;  // the extents of the whole
  if (!part.is_all()) full.time = part.all_tokens();
  if (!part.is_all() && packed) full.sequences = part.all_sequences();
  if (!packed) full.sequences = n.batch;
  const auto shape = [&](const gatescan::axes& a) {
    shape_type extents;
    for (int i = 0; i < a.rank; ++i) extents.push_back(extent(full, a.of[i]));
    return extents;
  };
  c.out = from.result(r.out, shape(r.out.axes), complex_out);
  c.final_state = each_part(
      final, false, [&](const member& m) { return from.result(m, shape(m.axes), complex_state); });
  if (!asked.grad) return;
  for (const member& m : r.operands) back.gradients.push_back(from.gradient(m));
  back.d_initial_state =
      each_part(initial, true, [&](const member& m) { return from.gradient(m); });
  backward_ = back;
}

void job::run() const {
  compute(forward_);
  if (backward_) compute(*backward_);
}

void job::compute(const device_calls::call& c) const {
  std::size_t bytes = 0;
  std::shared_ptr<void> scratch;
  if (how_.workspace_bytes != nullptr) {
    bytes = how_.workspace_bytes(c);
    scratch = where_.allocate(static_cast<std::int64_t>(bytes));
  }
  how_.run(c, where_.stream(), {static_cast<std::byte*>(scratch.get()), bytes});
  where_.wait();  // before the scratch goes
}

piece piece_of(const options& asked, const safetensors::entries& file, int rank, int ranks) {
  const recurrence& r = find_recurrence(asked.recurrence);
  const auto first = file.find(r.operands.front().name);
  if (first == file.end()) throw tensor_error(r.operands.front().name, "is missing");
  const shape_type& shape = first->second.shape;
  const std::int64_t tokens = shape.size() > 1 ? shape[1] : 0;
  const std::vector<std::int64_t> offsets = sequence_offsets(file);
  if (offsets.empty() && file.contains("sequence_offsets"))
    throw tensor_error("sequence_offsets", "must have dtype I64 and at least one place");
  check_sequence_offsets(offsets, tokens);
  return {tokens, offsets, rank, ranks};
}

tensors run(const options& asked, const safetensors::entries& file, device_calls::device* device) {
  const recurrence& r = find_recurrence(asked.recurrence);
  if (device != nullptr) {
    dtype_of(r, file);  // says what is missing
    const shape_type& shape = file.find(r.operands.front().name)->second.shape;
    if (shape.size() > 1) check_sequence_offsets(sequence_offsets(file), shape[1]);
  }
  host here;
  const piece all;
  const job whole(asked, file, all, device != nullptr ? *device : here);
  whole.run();
  tensors all_of_it;
  for (partial_result& result : whole.results()) all_of_it.push_back(std::move(result.held));
  return all_of_it;
}

}  // namespace replay
