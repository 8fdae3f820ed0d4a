// The cells of every recurrence.
#pragma once

#include <vector>

namespace bench {

void add_elementwise(const std::vector<int>& threads);
void add_gateloop(const std::vector<int>& threads);
void add_gla(const std::vector<int>& threads);
void add_selective_scan(const std::vector<int>& threads);

}  // namespace bench
