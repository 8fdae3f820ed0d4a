#include "halving.hpp"

int main() { return halving_error() < 1e-6f ? 0 : 1; }
