// What nvcc compiles: a file for each recurrence, in these formats.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "call.hpp"

namespace device_calls {

/// By the name of the recurrence and the format.
using table = std::map<std::pair<std::string, std::string>, computation>;

void add_aaren(table& to);
void add_elementwise(table& to);
void add_gated_delta_net(table& to);
void add_gateloop(table& to);
void add_gla(table& to);
void add_hgrn(table& to);
void add_hgrn2(table& to);
void add_linear_attention(table& to);
void add_mamba2(table& to);
void add_min_gru(table& to);
void add_min_lstm(table& to);
void add_mlstm(table& to);
void add_retention(table& to);
void add_rg_lru(table& to);
void add_rwkv4(table& to);
void add_rwkv6(table& to);
void add_rwkv7(table& to);
void add_selective_scan(table& to);

}  // namespace device_calls
