// The kernels at another register width than the machine's own: every recurrence and mode against
// the oracle. Built once an instruction set (CMakeLists.txt).

#include "../grid/check.hpp"

namespace grid {

namespace {

template <class O>
void check_kernels() {
  for (const sizes& n : {sizes{1, 3, 2, 2, 1}, sizes{2, 37, 2, 16, 16}, sizes{1, 40, 3, 5, 35},
                         sizes{1, 33, 1, 64, 64}})
    for (const gates gate : {gates::mild, gates::resets, gates::strong}) {
      options c;
      c.gate = gate;
      check<O, float>(few_modes, n, c);
    }
}

TEST(isa, real_elementwise) { check_kernels<real_elementwise>(); }
TEST(isa, complex_elementwise) { check_kernels<complex_elementwise>(); }
TEST(isa, gateloop) { check_kernels<gateloop>(); }
TEST(isa, gla) { check_kernels<gla>(); }
TEST(isa, selective_scan) { check_kernels<selective_scan>(); }
TEST(isa, mamba2) { check_kernels<mamba2>(); }
TEST(isa, rwkv6) { check_kernels<rwkv6>(); }
TEST(isa, rwkv7) { check_kernels<rwkv7>(); }
TEST(isa, gated_delta_net) { check_kernels<gated_delta_net>(); }
TEST(isa, retention) { check_kernels<retention>(); }
TEST(isa, hgrn) { check_kernels<hgrn>(); }
TEST(isa, hgrn2) { check_kernels<hgrn2>(); }
TEST(isa, min_gru) { check_kernels<min_gru>(); }
TEST(isa, min_lstm) { check_kernels<min_lstm>(); }
TEST(isa, rg_lru) { check_kernels<rg_lru>(); }
TEST(isa, linear_attention) { check_kernels<linear_attention>(); }
TEST(isa, mlstm) { check_kernels<mlstm>(); }
TEST(isa, aaren) { check_kernels<aaren>(); }
TEST(isa, rwkv4) { check_kernels<rwkv4>(); }

}  // namespace
}  // namespace grid
