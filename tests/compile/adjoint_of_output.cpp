// An output of its own without its adjoint is refused by a sentence that names the adjoint.
// says: gatescan: backward needs the recurrence's adjoints: there is no output_adjoint
#include "own_product.hpp"

struct doubled : own::product<doubled> {
  static auto output(const auto&, const auto&, const auto&, auto o) { return o + o; }
#ifdef GATESCAN_WRONG
  static void output_adjoint() {}
#else
  static auto output_adjoint(const auto&, const auto&, const auto&, const auto&, auto&, auto,
                             auto d_out) {
    return d_out + d_out;
  }
#endif
};

int main() {
  return own::forward_and_back<doubled>(gatescan::cpu{}, gatescan::recurrent{}) > 0 ? 0 : 1;
}
