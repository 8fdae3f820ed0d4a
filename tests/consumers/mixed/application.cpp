// An application without OpenMP on a library with it, whose symbols are hidden but for its
// functions: views and options go in, errors come out as what they are.
#include <cstddef>
#include <cstring>

#include "library.hpp"

int main() {
  const float x[4] = {1, 2, 3, 4};
  float out[4] = {};
  const gatescan::view<const float> from{x, {1, 4, 1, 1}};
  sums(gatescan::cpu{.threads = 2}, gatescan::chunked{2}, from, {out, {1, 4, 1, 1}}, {});
  if (out[3] != 10) return 1;
  if (widened(gatescan::bf16(1.5f)) != 1.5f) return 2;

  try {
    sums(gatescan::cpu{}, gatescan::chunked{}, from, {out, {1, 3, 1, 1}}, {});
    return 3;
  } catch (const gatescan::shape_error& e) {
    if (std::strstr(e.what(), "out: expected") == nullptr) return 4;
  }
  try {
    std::byte little[1];
    sums(gatescan::cpu{}, gatescan::chunked{}, from, {out, {1, 4, 1, 1}}, {little});
    return 5;
  } catch (const gatescan::workspace_error&) {
  }
  return 0;
}
