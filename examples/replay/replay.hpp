// One recurrence on the tensors of one file.
#pragma once

#include <optional>
#include <vector>

#include "device_calls/device.hpp"
#include "operands.hpp"
#include "options.hpp"
#include "safetensors.hpp"

namespace replay {

using tensors = std::vector<safetensors::tensor>;

/// Forward, and backward when asked, of what a file holds, or of a piece of it.
class job {
 public:
  /// On `where`, which is a device or the host. All is read and checked here, before the first
  /// number is computed. Throws what is wrong with the file, which stays as long as this does.
  job(const options& asked, const safetensors::entries& file, const piece& part,
      device_calls::device& where);

  void run() const;
  std::vector<partial_result> results() const { return operands_.results(); }

 private:
  void compute(const device_calls::call& c) const;

  device_calls::device& where_;
  operands operands_;
  const device_calls::computation& how_;
  device_calls::call forward_;
  std::optional<device_calls::call> backward_;
};

/// The piece of a file that a rank has. Throws where packed sequences are not in order.
piece piece_of(const options& asked, const safetensors::entries& file, int rank, int ranks);

/// All of a file on `device`, or on the host where it is null.
tensors run(const options& asked, const safetensors::entries& file, device_calls::device* device);

}  // namespace replay
