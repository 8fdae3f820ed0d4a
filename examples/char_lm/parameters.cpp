#include "parameters.hpp"

namespace char_lm {

slot blueprint::add(index rows, index cols, float decays) {
  const index begin = values_.size();
  const index padded = (rows * cols + 15) / 16 * 16;  // every slot starts on a cache line
  values_.conservativeResize(begin + padded);
  decays_.conservativeResize(begin + padded);
  values_.tail(padded).setZero();
  decays_.tail(padded).setConstant(decays);
  return {begin, rows, cols};
}

slot blueprint::normal(index rows, index cols, float deviation) {
  const slot s = add(rows, cols, 1.0f);
  auto w = s.in(values_);
  for (index r = 0; r < rows; ++r)
    for (index c = 0; c < cols; ++c) w(r, c) = deviation * random_.normal();
  return s;
}

slot blueprint::filled(index rows, index cols, const std::function<float(index, index)>& value) {
  const slot s = add(rows, cols, 0.0f);
  auto w = s.in(values_);
  for (index r = 0; r < rows; ++r)
    for (index c = 0; c < cols; ++c) w(r, c) = value(r, c);
  return s;
}

}  // namespace char_lm
