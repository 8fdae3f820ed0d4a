#pragma once
// First pass over chunks: what a chunk adds to the state, and the product of its gates. Backward
// the same, from what the outputs add to the gradient of the state at the chunk's start.
//
//   forward  sum_s (k_s prod_{j>s} a_j) v_s^T      backward  sum_t conj(q_t prod_{j<=t} a_j) do_t^T
//
// A block works on a tile of keys and values; half of its threads multiply keys by gates, one key
// each, while the others fetch values.

#include "output_gradient.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

/// Numbers a chunk (slot) and head: states are rows [planes][keys][values], products [keys].
template <class R, class T>
struct chunk_states {
  using kit = matrix_types<R, T>;
  typename kit::C* states = nullptr;
  typename kit::D* products = nullptr;
  index_t heads = 0, keys = 0, values = 0;

  chunk_states() = default;
  explicit chunk_states(const sizes& n) : heads(n.heads), keys(n.keys), values(n.values) {}
  void take_states(arena& memory, const time_chunks& chunks) {
    states = memory.take<typename kit::C>(chunks.slot_count * heads * state_size());
  }
  void take_products(arena& memory, const time_chunks& chunks) {
    products = memory.take<typename kit::D>(chunks.slot_count * heads * keys);
  }
  GATESCAN_HD index_t plane() const { return keys * values; }
  GATESCAN_HD index_t state_size() const { return kit::planes * plane(); }
  GATESCAN_HD typename kit::C* state(index_t slot, index_t head) const {
    return states + (slot * heads + head) * state_size();
  }
  GATESCAN_HD typename kit::D* product(index_t slot, index_t head) const {
    return products + (slot * heads + head) * keys;
  }
};

/// The product of gates in double. Where gates are exponentials the logarithms are added: a float's
/// rounding of a slow gate is the same at every token, so that products would drift.
template <class R, class T>
class exact_gates {
  using kit = matrix_types<R, T>;
  using D = typename kit::D;
  static constexpr bool logs = std::is_same_v<typename kit::C, float> &&
                               requires(typename kit::fields x, typename kit::at at) {
    R::has_log_gate(x);
    R::log_gate(x, at);
  };

 public:
  template <class E>
  GATESCAN_HD void add(const typename kit::fields& x, const typename kit::at& at, E gate) {
    if constexpr (logs) {
      if (R::has_log_gate(x)) {
        log_ = log_ + converted<D>(as_element(R::log_gate(x, at)));
        return;
      }
    }
    product_ = decayed(converted<D>(gate), product_);
  }
  GATESCAN_HD D value(const typename kit::fields& x) const {
    if constexpr (logs) {
      if (R::has_log_gate(x)) {
        if constexpr (kit::complex) {
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
  template <class L>
  GATESCAN_HD static typename kit::E as_element(L log) {
    if constexpr (kit::complex && !requires { log.re; })
      return {log, 0};
    else
      return log;
  }
  D log_{};
  D product_ = real_number<D>(1.0);
};

template <class R, class T, bool Adjoint>
struct matrix_summaries {
  using kit = matrix_types<R, T>;
  using C = typename kit::C;
  using E = typename kit::E;

  problem_of<R, T> p;
  time_chunks chunks;
  chunk_states<R, T> to;
  output_gradient<R, T> d_o{};

  index_t key_tiles() const { return ceil_divide(p.n.keys, kit::keys); }
  index_t value_tiles() const { return ceil_divide(p.n.values, kit::values); }
  index_t blocks() const { return chunks.slot_count * p.n.heads * key_tiles() * value_tiles(); }
  int threads() const { return kit::threads; }
  int shared_bytes() const {
    return shared_size<C>(kit::sub * kit::row_pitch) + shared_size<C>(kit::sub * kit::value_pitch);
  }

  template <class Block>
  GATESCAN_HD void operator()(Block& block) const {
    const index_t values_split = ceil_divide(p.n.values, kit::values),
                  keys_split = ceil_divide(p.n.keys, kit::keys);
    index_t rest = block.index();
    const index_t first_value = rest % values_split * kit::values;
    const index_t first_key = (rest /= values_split) % keys_split * kit::keys;
    const index_t head = (rest /= keys_split) % p.n.heads;
    const chunk_place here = chunks.at(p, rest / p.n.heads);
    const index_t count = here.tokens.count();
    if (count == 0) return;
    const auto keys = block.template shared<C>(kit::sub * kit::row_pitch);
    const auto values = block.template shared<C>(kit::sub * kit::value_pitch);
    const auto x = head_operands(p, here.batch, head);
    const auto head_d_out = d_o.d_out.of_head(here.batch, head, 0);
    const int thread = block.thread();
    const index_t key = first_key + thread;
    const bool has_key = thread < kit::keys && key < p.n.keys;
    E decay = real_number<E>(C(1));
    exact_gates<R, T> product;
    product_sums<kit, kit::rows, kit::values, true> sum;

    const index_t steps = ceil_divide(count, kit::sub);
    for (index_t step = 0; step < steps; ++step) {
      const index_t first = here.tokens.first + (Adjoint ? step : steps - 1 - step) * kit::sub;
      block.sync();
      if (thread < kit::keys) {
        for (int n = 0; n < kit::sub; ++n) {
          const int s = Adjoint ? n : kit::sub - 1 - n;
          E number{};
          if (has_key && first + s < here.tokens.last) {
            const typename kit::at at{0, first + s, 0, key, 0};
            const auto token = R::keys(x, at);
            if constexpr (Adjoint) {
              decay = decayed(token.gate, decay);
              number = conj(token.q * decay);
            } else {
              number = token.k * decay;
              decay = decayed(token.gate, decay);
              product.add(x, at, token.gate);
            }
          }
          put_number(keys, s * kit::row_pitch + thread, kit::keys, number);
        }
      } else {
        for (int n = thread - kit::keys; n < kit::sub * kit::values;
             n += kit::threads - kit::keys) {
          const index_t t = first + n / kit::values, value = first_value + n % kit::values;
          C number = 0;
          if (t < here.tokens.last && value < p.n.values) {
            if constexpr (Adjoint)
              number = d_o(x, head_d_out, here.batch, head, t, value);
            else
              number = R::values(x, typename kit::at{0, t, 0, 0, value}).v;
          }
          values[n / kit::values * kit::value_pitch + n % kit::values] = number;
        }
      }
      block.sync();
      sum.add(block, kit::sub, keys, kit::row_pitch, values, kit::value_pitch);
    }
    C* const state = to.state(here.slot, head);
    sum.for_each(thread, [&](int row, int column, C total) {
      const index_t i = first_key + row % kit::keys, j = first_value + column;
      if (i < p.n.keys && j < p.n.values)
        state[row / kit::keys * to.plane() + i * p.n.values + j] = total;
    });
    if constexpr (!Adjoint)
      if (has_key && first_value == 0) to.product(here.slot, head)[key] = product.value(x);
  }
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
