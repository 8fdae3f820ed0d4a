// A form whose numbers are complex, with a state of real ones, is refused by a sentence.
// says: gatescan: a state is of complex numbers
#include "own_product.hpp"

struct mine : own::product<mine> {
#ifdef GATESCAN_WRONG
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key,
                                                  .number = gatescan::numbers::complex};
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
