#include "sequences.hpp"

namespace sequences {
INSTANTIATE_TYPED_TEST_SUITE_P(real_elementwise, sequences, real_elementwise);
}
