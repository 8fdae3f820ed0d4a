// Every recurrence of recurrences/all.hpp in plain loops and as problems of the tests.
#pragma once

#include "elementwise.hpp"      // IWYU pragma: export
#include "gated_delta_net.hpp"  // IWYU pragma: export
#include "gateloop.hpp"         // IWYU pragma: export
#include "gla.hpp"              // IWYU pragma: export
#include "hgrn2.hpp"            // IWYU pragma: export
#include "mamba2.hpp"           // IWYU pragma: export
#include "rwkv6.hpp"            // IWYU pragma: export
#include "selective_scan.hpp"   // IWYU pragma: export

namespace support {

template <template <class...> class List>
using every_case = List<real_elementwise, complex_elementwise, gateloop, gla, selective_scan,
                        mamba2, rwkv6, gated_delta_net, hgrn2>;

}  // namespace support
