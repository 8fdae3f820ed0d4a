#include "ranks.hpp"

namespace replay {

std::unique_ptr<ranks> ranks::join(int&, char**&) { return nullptr; }

}  // namespace replay
