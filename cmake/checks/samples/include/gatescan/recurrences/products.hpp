#pragma once

namespace gatescan {
// exp(x) * exp(y) in a comment
inline double split(double x, double y) { return exp(x - y) * exp(y); }             // breaks: exp
inline double apart(double x, double y) { return exp(x) * f(x, y).re * -exp(y); }   // breaks: exp
inline double lines(double x, double y) {
  return gatescan::exp(x) *
         std::exp(y);                                                                // breaks: exp
}
inline double sum(double x, double y) { return 2 * exp(x) + x * exp(y); }
inline double inner(double x, double y) { return exp(x * exp(y)) * max(x, exp(y)); }
}  // namespace gatescan
