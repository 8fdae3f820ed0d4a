#pragma once
// The recurrences of the library, and the list of them.

#include "aaren.hpp"
#include "elementwise.hpp"
#include "gated_delta_net.hpp"
#include "gateloop.hpp"
#include "gla.hpp"
#include "hgrn.hpp"
#include "hgrn2.hpp"
#include "linear_attention.hpp"
#include "mamba2.hpp"
#include "min_gru.hpp"
#include "min_lstm.hpp"
#include "mlstm.hpp"
#include "retention.hpp"
#include "rg_lru.hpp"
#include "rwkv4.hpp"
#include "rwkv6.hpp"
#include "rwkv7.hpp"
#include "selective_scan.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

template <class... R>
struct type_list {};
using all_recurrences =
    type_list<elementwise, gateloop, gla, selective_scan, mamba2, rwkv6, gated_delta_net, retention,
              hgrn, hgrn2, min_gru, min_lstm, rg_lru, linear_attention, mlstm, aaren, rwkv7, rwkv4>;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
