// Right calls work without exceptions; a wrong one reaches on_error before anything is written.
#include <cstdlib>
#include <cstring>

#include "halving.hpp"

static float out[3] = {7, 7, 7};

static void told(const char* message) {
  const bool named = std::strstr(message, "x: expected") != nullptr;
  std::_Exit(named && out[0] == 7 ? 0 : 1);
}

int main() {
  if (!(halving_error() < 1e-6f)) return 2;
  gatescan::on_error = told;
  const float a[3] = {}, x[3] = {};
  gatescan::elementwise::inputs<float> in;
  in.a = gatescan::view<const float>{a, {1, 3, 1, 1}};
  in.x = gatescan::view<const float>{x, {1, 2, 1, 1}};  // one token too few
  gatescan::elementwise::outputs<float> to;
  to.out = gatescan::view<float>{out, {1, 3, 1, 1}};
  gatescan::forward(gatescan::cpu{.threads = 1}, gatescan::recurrent{}, in, to);
  return 3;  // what cannot be run came back
}
