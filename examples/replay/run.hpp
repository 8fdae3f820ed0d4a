// From run-time words (dtype, mode) to the library's types, once for all recurrences.
#pragma once

#include <cstring>
#include <gatescan/gatescan.hpp>
#include <string>
#include <type_traits>
#include <variant>

#include "device_calls/flatten.hpp"
#include "device_calls/formats.hpp"
#include "host_memory.hpp"
#include "operands.hpp"
#include "options.hpp"
#include "replay.hpp"

namespace replay {

using any_mode =
    std::variant<gatescan::recurrent, gatescan::scan, gatescan::chunked, gatescan::attention>;

inline any_mode mode_of(const options& asked) {
  if (asked.mode == "recurrent") return gatescan::recurrent{};
  if (asked.mode == "scan") return gatescan::scan{};
  if (asked.mode == "attention") return gatescan::attention{};
  return asked.chunk ? gatescan::chunked{*asked.chunk} : gatescan::chunked{};
}

/// On the host.
class on_host {
 public:
  template <class T>
  using format = T;

  explicit on_host(const options& asked) : cpu_{.threads = asked.threads}, mode_(mode_of(asked)) {}

  device_calls::memory& memory() { return memory_; }

  template <class In, class Out>
  void forward(const In& in, const Out& out) const {
    std::visit([&](const auto& mode) { gatescan::forward(cpu_, mode, in, out); }, mode_);
  }
  template <class In, class Out, class OutputGradients, class Gradients>
  void backward(const In& in, const Out&, const OutputGradients& d_out, const Gradients& d) const {
    std::visit([&](const auto& mode) { gatescan::backward(cpu_, mode, in, d_out, d); }, mode_);
  }

 private:
  host_memory memory_;
  gatescan::cpu cpu_;
  any_mode mode_;
};

/// On a device, with scratch of its memory.
class on_device {
 public:
  template <class T>
  using format = gatescan::device<T>;

  on_device(const options& asked, device_calls::device& where) : asked_(asked), device_(where) {}

  device_calls::memory& memory() { return device_; }

  template <class In, class Out>
  void forward(const In& in, const Out& out) const {
    run<In>(forward_call(in, out));
  }
  template <class In, class Out, class OutputGradients, class Gradients>
  void backward(const In& in, const Out& out, const OutputGradients& d_out,
                const Gradients& d) const {
    auto call = forward_call(in, out);
    device_calls::flatten_results(d_out, call);
    device_calls::flatten_gradients<typename In::recurrence>(d, call);
    run<In>(call);
  }

 private:
  template <class T>
  static std::string format_name(std::type_identity<gatescan::device<T>>) {
    return device_calls::format_name<T>();
  }
  template <class In, class Out>
  device_calls::call forward_call(const In& in, const Out& out) const {
    device_calls::call c;
    c.mode = asked_.mode;
    c.chunk = asked_.chunk.value_or(0);
    c.size = device_calls::sizes_of(in, out);
    device_calls::flatten_inputs(in, c);
    device_calls::flatten_results(out, c);
    return c;
  }
  template <class In>
  void run(const device_calls::call& c) const {
    const auto& computation =
        device_.find(In::recurrence::name, format_name(std::type_identity<typename In::format>{}));
    const std::size_t bytes = computation.workspace_bytes(c);
    const auto scratch = device_.allocate(static_cast<std::int64_t>(bytes));
    computation.run(c, device_.stream(), {static_cast<std::byte*>(scratch.get()), bytes});
    device_.wait();  // before the scratch goes
  }

  const options& asked_;
  device_calls::device& device_;
};

/// Forward, and backward when asked. Binding says how a recurrence's aggregates come from
/// `operands`:
///   inputs(from, asked), outputs(from, in), output_gradients(from), gradients(from).
/// All is read and checked before the first number is computed.
template <class Binding, class T, class Place>
tensors run_in(const options& asked, const safetensors::entries& file, Place& place) {
  operands<typename Place::template format<T>> from(file, place.memory());
  const auto in = Binding::inputs(from, asked);
  decltype(Binding::output_gradients(from)) d_out;
  if (asked.grad) {
    d_out = Binding::output_gradients(from);
    from.reject_unknown({});
  } else {
    from.reject_unknown({"d_out", "d_out_im", "d_final_state", "d_final_state_im"});
  }
  const auto out = Binding::outputs(from, in);
  place.forward(in, out);
  if (asked.grad) place.backward(in, out, d_out, Binding::gradients(from));
  return from.results();
}

/// Picks the number format: that of the tensor `name`, which every use of the recurrence has.
template <class Binding, class Place>
tensors run_at(const options& asked, const safetensors::entries& file, const std::string& name,
               Place& place) {
  const auto tensor = file.find(name);
  if (tensor == file.end()) throw tensor_error(name, "is missing");
  const std::string& dtype = tensor->second.dtype;
  if (dtype == "F64") return run_in<Binding, double>(asked, file, place);  // wide already
  const auto narrow_or_wide = [&]<class T>(std::type_identity<T>) {
    return asked.wide ? run_in<Binding, gatescan::wide<T>>(asked, file, place)
                      : run_in<Binding, T>(asked, file, place);
  };
  if (dtype == "F32") return narrow_or_wide(std::type_identity<float>{});
  if (dtype == "BF16") return narrow_or_wide(std::type_identity<gatescan::bf16>{});
  if (dtype == "F16") return narrow_or_wide(std::type_identity<gatescan::half>{});
  throw tensor_error(name,
                     "must have dtype F64, F32, BF16 or F16, has " + safetensors::printable(dtype));
}

/// The library cannot look at offsets in a device's memory, so they are checked here.
inline void check_sequence_offsets(const safetensors::entries& file, std::int64_t tokens) {
  const std::string name = "sequence_offsets";
  const auto at = file.find(name);
  if (at == file.end() || at->second.dtype != "I64") return;
  std::int64_t last = 0;
  const auto& bytes = at->second.bytes;
  for (std::size_t i = 0; i < bytes.size() / sizeof last; ++i) {
    std::int64_t offset;
    std::memcpy(&offset, bytes.data() + i * sizeof last, sizeof last);
    if (offset < last || (i == 0 && offset != 0)) {
      throw tensor_error(name, "must start at 0 and never fall, has " + std::to_string(offset) +
                                   " at place " + std::to_string(i));
    }
    last = offset;
  }
  if (last != tokens) {
    throw tensor_error(name, "must end at the " + std::to_string(tokens) +
                                 " tokens given, ends at " + std::to_string(last));
  }
}

/// On `device`, or on the host where it is null. `name` is a tensor [batch, time, ...] that every
/// use of the recurrence has.
template <class Binding>
tensors run(const options& asked, const safetensors::entries& file, device_calls::device* device,
            const std::string& name) {
  if (device == nullptr) {
    on_host place(asked);
    return run_at<Binding>(asked, file, name, place);
  }
  const auto tensor = file.find(name);
  if (tensor != file.end() && tensor->second.shape.size() > 1) {
    check_sequence_offsets(file, tensor->second.shape[1]);
  }
  on_device place(asked, *device);
  return run_at<Binding>(asked, file, name, place);
}

/// Sequences of a problem: of the packed ones, if `offsets` are given, else of the batch.
inline gatescan::index_t sequences(const view<const std::int64_t>& offsets,
                                   gatescan::index_t batch) {
  if (!offsets.given()) return batch;
  if (offsets.shape[0] == 0) throw tensor_error("sequence_offsets", "is empty");
  return offsets.shape[0] - 1;
}

/// The head count that grouped operands share: the largest of theirs.
template <class... Views>
gatescan::index_t heads(const Views&... views) {
  return std::max({(views.given() ? views.shape[2] : 0)...});
}

}  // namespace replay
