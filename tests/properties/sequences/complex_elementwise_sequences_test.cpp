#include "sequences.hpp"

namespace sequences {
INSTANTIATE_TYPED_TEST_SUITE_P(complex_elementwise, sequences, complex_elementwise);
}
