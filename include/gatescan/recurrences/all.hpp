#pragma once
// The recurrences of the library, and their list.

#include "elementwise.hpp"
#include "gateloop.hpp"
#include "gla.hpp"
#include "selective_scan.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {

template <class... R>
struct type_list {};
using all_recurrences = type_list<elementwise, gateloop, gla, selective_scan>;

}  // namespace GATESCAN_ABI
}  // namespace gatescan
