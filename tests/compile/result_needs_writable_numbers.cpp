// A view of const numbers in the place of a result is refused by a sentence.
// says: a result needs a view of numbers that may be written
#include <gatescan/gatescan.hpp>

int main() {
  const float one = 1;
  float out = 0;
#ifdef GATESCAN_WRONG
  const gatescan::view<const float> result{&out, {1, 1, 1, 1}};
#else
  const gatescan::view<float> result{&out, {1, 1, 1, 1}};
#endif
  const gatescan::view<const float> x{&one, {1, 1, 1, 1}};
  gatescan::forward(gatescan::cpu{}, gatescan::recurrent{},
                    gatescan::gla::inputs<float>{.q = x, .k = x, .v = x, .log_decay = x},
                    {.out = result});
}
