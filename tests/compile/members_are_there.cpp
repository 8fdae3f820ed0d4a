// A recurrence without what every one has is refused by a sentence that names it: here a name.
// says: gatescan: a recurrence needs a name
#include "own_product.hpp"

struct mine : own::product<mine> {
#ifdef GATESCAN_WRONG
 private:
  static constexpr const char* name = "nobody sees it";
#endif
};

int main() { return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1; }
