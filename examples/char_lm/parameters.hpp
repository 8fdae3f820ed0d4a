// All weights of the model lie in one flat vector. A layer keeps only the slots of its own weights,
// so the optimizer, the checkpoint and the gradient of a shard are plain vectors of the same
// length.
#pragma once

#include <functional>

#include "eigen.hpp"
#include "random.hpp"

namespace char_lm {

using index = Eigen::Index;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using row_array = Eigen::Array<float, 1, Eigen::Dynamic>;
using flat = Eigen::VectorXf;

/// Where one weight matrix lies in the flat vector.
struct slot {
  index offset = 0, rows = 0, cols = 0;

  Eigen::Map<const matrix> in(const flat& f) const { return {f.data() + offset, rows, cols}; }
  Eigen::Map<matrix> in(flat& f) const { return {f.data() + offset, rows, cols}; }
};

/// Hands out slots while the model is being built, and holds the initial values.
class blueprint {
 public:
  explicit blueprint(std::uint64_t seed) : random_(seed) {}

  /// A weight matrix with independent normal entries; weight decay applies to it.
  slot normal(index rows, index cols, float deviation);
  /// A bias or gain, given by a function of its column; no weight decay.
  slot filled(index rows, index cols, const std::function<float(index, index)>& value);

  const flat& values() const { return values_; }
  /// 1 where weight decay applies, else 0.
  const flat& decays() const { return decays_; }

 private:
  slot add(index rows, index cols, float decays);

  splitmix random_;
  flat values_, decays_;
};

}  // namespace char_lm
