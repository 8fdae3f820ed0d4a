#include "sequences.hpp"

namespace sequences {
INSTANTIATE_TYPED_TEST_SUITE_P(selective_scan, sequences, selective_scan);
}
