// From run-time words (dtype, mode) to the library's types, once for all recurrences.
#pragma once

#include <string>
#include <type_traits>
#include <variant>

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

/// Forward, and backward when asked. Binding says how a recurrence's aggregates come from
/// `operands`:
///   inputs(from, asked), outputs(from, in), output_gradients(from), gradients(from).
/// All is read and checked before the first number is computed.
template <class Binding, class T>
tensors run_in(const options& asked, const safetensors::entries& file) {
  operands<T> from(file);
  const auto in = Binding::inputs(from, asked);
  decltype(Binding::output_gradients(from)) d_out;
  if (asked.grad) {
    d_out = Binding::output_gradients(from);
    from.reject_unknown({});
  } else {
    from.reject_unknown({"d_out", "d_out_im", "d_final_state", "d_final_state_im"});
  }
  const auto out = Binding::outputs(from, in);
  const gatescan::cpu cpu{.threads = asked.threads};
  std::visit(
      [&](const auto& mode) {
        gatescan::forward(cpu, mode, in, out);
        if (asked.grad) gatescan::backward(cpu, mode, in, d_out, Binding::gradients(from));
      },
      mode_of(asked));
  return from.results();
}

/// Picks the number format: that of the tensor `name`, which every use of the recurrence has.
template <class Binding>
tensors run(const options& asked, const safetensors::entries& file, const std::string& name) {
  const auto tensor = file.find(name);
  if (tensor == file.end()) throw tensor_error(name, "is missing");
  const std::string& dtype = tensor->second.dtype;
  if (dtype == "F64") return run_in<Binding, double>(asked, file);  // wide already
  const auto narrow_or_wide = [&]<class T>(std::type_identity<T>) {
    return asked.wide ? run_in<Binding, gatescan::wide<T>>(asked, file)
                      : run_in<Binding, T>(asked, file);
  };
  if (dtype == "F32") return narrow_or_wide(std::type_identity<float>{});
  if (dtype == "BF16") return narrow_or_wide(std::type_identity<gatescan::bf16>{});
  if (dtype == "F16") return narrow_or_wide(std::type_identity<gatescan::half>{});
  throw tensor_error(name,
                     "must have dtype F64, F32, BF16 or F16, has " + safetensors::printable(dtype));
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
