// A library that takes gatescan's own types. Who links it may compile with other flags than it was.
#pragma once

#include <gatescan/gatescan.hpp>

#define GATESCAN_EXPORTED __attribute__((visibility("default")))

/// Cumulative sums of x into out: elementwise with gates of 1.
GATESCAN_EXPORTED void sums(const gatescan::cpu& backend, const gatescan::chunked& mode,
                            const gatescan::view<const float>& x, const gatescan::view<float>& out,
                            const gatescan::workspace& scratch);

GATESCAN_EXPORTED float widened(gatescan::bf16 x);
