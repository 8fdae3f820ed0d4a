// AdamW with a clipped gradient, and the learning rate's course: linear warm-up, then half a
// cosine.
#pragma once

#include "parameters.hpp"

namespace char_lm {

/// Running means of the gradient and of its square.
struct moments {
  flat first, second;
};

/// Scales the gradient down to this Euclidean norm where it is longer. Returns the norm it had.
double clip(flat& gradient, double most);

/// One AdamW step (Loshchilov and Hutter 2019) on entries [begin, begin + count), the step-th,
/// from 1.
void adamw(flat& theta, moments& m, const flat& gradient, const flat& decays, std::int64_t step,
           double rate, index begin, index count);

/// Factor on the learning rate in step 0 .. total - 1.
double schedule(std::int64_t step, std::int64_t total);

}  // namespace char_lm
