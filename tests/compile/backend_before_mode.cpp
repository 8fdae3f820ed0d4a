// Backend and mode in the wrong order are refused by a sentence.
// says: gatescan: the backend comes before the mode
#include "own_product.hpp"

struct mine : own::product<mine> {};

int main() {
#ifdef GATESCAN_WRONG
  return own::forward_and_back<mine>(gatescan::chunked{}, gatescan::cpu{}) > 0 ? 0 : 1;
#else
  return own::forward_and_back<mine>(gatescan::cpu{}, gatescan::chunked{}) > 0 ? 0 : 1;
#endif
}
