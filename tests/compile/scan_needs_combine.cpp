// A step alone runs token by token; a scan of it is refused by a sentence.
// says: scan needs combine
#include "../../examples/own_recurrences.hpp"

int main() {
  const float one = 1;
  float out = 0;
  const gatescan::view<const float> w{&one, {1, 1}}, x{&one, {1, 1, 1, 1}};
  const gatescan::view<float> result{&out, {1, 1, 1, 1}};
  const own::rnn::inputs<float> in{.w = w, .x = x};
  gatescan::forward(gatescan::cpu{}, gatescan::automatic{}, in, {.out = result});
#ifdef GATESCAN_WRONG
  gatescan::forward(gatescan::cpu{}, gatescan::scan{}, in, {.out = result});
#endif
}
