// The formats' names, those of safetensors files.
#pragma once

#include <gatescan/core/scalar.hpp>
#include <string>
#include <type_traits>

namespace device_calls {

template <class T>
std::string format_name() {
  if constexpr (std::is_same_v<T, double>) return "F64";
  if constexpr (std::is_same_v<T, float>) return "F32";
  if constexpr (std::is_same_v<T, gatescan::bf16>) return "BF16";
  if constexpr (std::is_same_v<T, gatescan::half>) return "F16";
  if constexpr (std::is_same_v<T, gatescan::wide<float>>) return "F32 wide";
  if constexpr (std::is_same_v<T, gatescan::wide<gatescan::bf16>>) return "BF16 wide";
  if constexpr (std::is_same_v<T, gatescan::wide<gatescan::half>>) return "F16 wide";
}

}  // namespace device_calls
