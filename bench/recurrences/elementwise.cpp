#include "all.hpp"
#include "support/cells.hpp"

namespace bench {

using gatescan::attention, gatescan::chunked, gatescan::recurrent, gatescan::scan;
using gatescan::bf16, gatescan::elementwise;

void add_elementwise(const std::vector<int>& threads) {
  for (const bool complex : {false, true}) {
    const shape tiny = elementwise_shape(2, 64, 37, complex);
    add_runs<elementwise, float>(threads, tiny, recurrent{}, scan{}, chunked{}, attention{});
    add_runs<elementwise, bf16>(threads, tiny, chunked{});

    const shape training = elementwise_shape(8, 4096, 512, complex);
    add_runs<elementwise, float>(threads, training, recurrent{}, scan{}, chunked{});
    add_runs<elementwise, bf16>(threads, training, chunked{});
    add_runs<elementwise, float>(threads, elementwise_shape(1, 512, 512, complex), attention{});
    add_step<elementwise, float>(threads, elementwise_shape(8, 1, 4096, complex));
  }
  // few channels and much time: only time can run in parallel
  add_runs<elementwise, float>(threads, elementwise_shape(1, 1 << 20, 16), recurrent{}, scan{},
                               chunked{});
}

}  // namespace bench
