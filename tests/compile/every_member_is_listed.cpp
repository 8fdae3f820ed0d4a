// A member of fields that nothing lists would never be bound; it is refused by a sentence.
// says: gatescan: a member of fields is not listed
#include "own_product.hpp"

struct mine : own::product<mine> {
#ifdef GATESCAN_WRONG
  template <class F, class... S>
  static constexpr void options(F&&, S&&...) {}
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
