// A normaliser without what makes a divisor of it is refused by a sentence.
// says: gatescan: form says a normaliser, and there is no denominator(x, at, n)
#include "own_product.hpp"

struct mine : own::product<mine> {
#ifdef GATESCAN_WRONG
  static constexpr gatescan::recurrence_form form{.gate = gatescan::gate_span::key,
                                                  .normaliser = true};
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
