#pragma once
// prod_t a_t over a chunk, for one key.

#include "tile_config.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {
namespace gpu {
namespace matrix {

/// The product of gates in double. Where gates are exponentials the logarithms are added: a float's
/// rounding of a slow gate is the same at every token, so that products would drift.
template <class R, class T>
class gate_product {
  using config = tile_config<R, T>;
  using D = typename config::D;
  static constexpr bool logs = std::is_same_v<typename config::C, float> &&
                               requires(typename config::fields x, typename config::cursor at) {
    R::has_log_gate(x);
    R::log_gate(x, at);
  };

 public:
  using E = typename config::E;

  /// What a token's gate adds: its logarithm, or itself; nothing where there is no token.
  GATESCAN_HD static E factor_of(const typename config::fields& x,
                                 const typename config::cursor& at, E gate, bool there) {
    if constexpr (logs)
      if (R::has_log_gate(x)) return there ? as_element(R::log_gate(x, at)) : E{};
    return there ? gate : number_cast<E>(1);
  }
  GATESCAN_HD void add(const typename config::fields& x, E factor) {
    if constexpr (logs) {
      if (R::has_log_gate(x)) {
        log_ = log_ + number_cast<D>(factor);
        return;
      }
    }
    product_ = decayed(number_cast<D>(factor), product_);
  }
  /// What it has come to, for another to go on with: that of the tokens of several threads.
  GATESCAN_HD D part(const typename config::fields& x) const { return sums(x) ? log_ : product_; }
  GATESCAN_HD void add_part(const typename config::fields& x, D part) {
    if (sums(x))
      log_ = log_ + part;
    else
      product_ = decayed(part, product_);
  }
  GATESCAN_HD D value(const typename config::fields& x) const {
    if constexpr (logs) {
      if (R::has_log_gate(x)) {
        if constexpr (config::complex) {
          if (log_.re < -746) return D{};  // 0 in double; the phase may be anything
          return exp(log_.re) * cis(log_.im);
        } else {
          return exp(log_);
        }
      }
    }
    return product_;
  }

 private:
  // whether logarithms are added
  GATESCAN_HD static bool sums(const typename config::fields& x) {
    if constexpr (logs)
      return R::has_log_gate(x);
    else
      return false;
  }
  template <class L>
  GATESCAN_HD static typename config::E as_element(L log) {
    if constexpr (config::complex && !requires { log.re; })
      return {log, 0};
    else
      return log;
  }
  D log_{};
  D product_ = number_cast<D>(1.0);
};

}  // namespace matrix
}  // namespace gpu
}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
