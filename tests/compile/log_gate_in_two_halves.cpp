// Half of a pair of optional members is refused by a sentence.
// says: gatescan: has_log_gate(x) without log_gate(x, at)
#include "own_product.hpp"

struct mine : own::product<mine> {
  static bool has_log_gate(const auto&) { return true; }
#ifndef GATESCAN_WRONG
  static auto log_gate(const auto& x, const auto& at) { return at(x.q) - at(x.q); }
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
