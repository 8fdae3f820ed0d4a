// A form whose keys need one more row than `keys` returns is refused by a sentence.
// says: gatescan: keys(x, at) does not return what form says
#include "own_product.hpp"

struct mine : own::product<mine> {
#ifdef GATESCAN_WRONG
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key,
                                                  .reads = gatescan::readout::exclusive};
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
