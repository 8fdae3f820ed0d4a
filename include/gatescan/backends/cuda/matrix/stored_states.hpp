#pragma once
// What chunks leave in scratch: states and the products of their gates.

#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// Numbers a chunk (slot) and head: states are rows [planes][keys][values], products [keys].
template <class R, class T>
struct stored_states {
  using config = tile_config<R, T>;
  typename config::C* states = nullptr;
  typename config::D* products = nullptr;
  index_t heads = 0, keys = 0, values = 0;

  stored_states() = default;
  explicit stored_states(const sizes& n) : heads(n.heads), keys(n.keys), values(n.values) {}
  void take_states(arena& memory, const time_split& chunks) {
    states = memory.take<typename config::C>(chunks.slot_count() * heads * state_size());
  }
  void take_products(arena& memory, const time_split& chunks) {
    products = memory.take<typename config::D>(chunks.slot_count() * heads * keys);
  }
  GATESCAN_HD index_t plane() const { return keys * values; }
  GATESCAN_HD index_t state_size() const { return config::planes * plane(); }
  GATESCAN_HD typename config::C* state(index_t slot, index_t head) const {
    return states + (slot * heads + head) * state_size();
  }
  GATESCAN_HD typename config::D* product(index_t slot, index_t head) const {
    return products + (slot * heads + head) * keys;
  }
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
