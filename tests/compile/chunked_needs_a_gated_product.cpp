// An associative operator without the gated product scans; in chunks it is refused by a sentence.
// says: gatescan: this recurrence does not have what the mode needs
#include "../../examples/own_recurrences.hpp"

int main() {
  const float one = 1;
  float out = 0;
  const gatescan::view<const float> operand{&one, {1, 1, 1, 1}};
  const gatescan::view<float> result{&out, {1, 1, 1, 1}};
  const own::best_path::inputs<float> in{.d = operand, .x = operand};
  gatescan::forward(gatescan::cpu{}, gatescan::scan{}, in, {.out = result});
#ifdef GATESCAN_WRONG
  gatescan::forward(gatescan::cpu{}, gatescan::chunked{}, in, {.out = result});
#endif
}
