#include "sequences.hpp"

namespace sequences {
INSTANTIATE_TYPED_TEST_SUITE_P(gateloop, sequences, gateloop);
}
