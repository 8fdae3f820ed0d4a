// A form of one gate a state entry, of a recurrence that has keys only, is refused by a sentence.
// says: gatescan: form says a gate a state entry, and there is no gate(x, at, w)
#include "own_product.hpp"

struct mine : own::product<mine> {
#ifdef GATESCAN_WRONG
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::entry};
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
