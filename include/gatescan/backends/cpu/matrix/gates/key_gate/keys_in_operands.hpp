#pragma once
// The keys of a chunk straight from the operands, through the recurrence's prologue, by quads of
// tokens: what is read once need not lie in tiles. Sums of logarithms are made on the way.

#include "../../reader.hpp"
#include "quads.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

template <class R, class T>
class keys_in_operands final : public key_source<state_t<T>> {
  using reader = matrix_reader<R, T>;
  using C = typename reader::C;
  static constexpr bool complex = reader::complex;

 public:
  keys_in_operands(const reader& from, index_t start, index_t count)
      : reader_(from),
        quads_{from.operands(), from.shape().key_pitch, start, from.tiles().log_gates},
        count_(count) {}

  void products_of_quad(index_t first, index_t, bool begins_subchunk,
                        const quad_products<C>& to) const override {
    set_quad_products<complex, R::form.reads, 4>(quads_, first, begins_subchunk, to);
  }
  void fill_tiles() const override { reader_.template read_keys<true, true>(quads_.start, count_); }

 private:
  struct quad_reader {
    typename reader::operands_type x;
    index_t key_pitch, start;
    double* log_gates;

    GATESCAN_INLINE void read(index_t first, index_t i,
                              keys_of_tokens<element_t<C, complex>, 4>& to) const {
      const typename reader::quad_of_tokens here{
          {start + first, i, 0, static_cast<int>(reader::width)}};
      const auto key = R::keys(x, here);
#pragma GCC unroll 4
      for (int t = 0; t < quad_tokens; ++t)
        to.q[t] = get(key.q, t), to.k[t] = get(key.k, t), to.a[t] = get(key.gate, t);
      if constexpr (reader::has_own_key)
#pragma GCC unroll 4
        for (int t = 0; t < quad_tokens; ++t) to.own[t] = get(key.own, t);
      if constexpr (reader::sums_logs)
        if (log_gates != nullptr) add_logs(R::log_gate(x, here), first == 0, i);
    }

   private:
    GATESCAN_INLINE void add_logs(const simd::pack4<C>& log, bool begins, index_t at) const {
      log_sum sum = begins ? log_sum() : log_sum(log_gates + at);
      sum.add(log.a), sum.add(log.b), sum.add(log.c), sum.add(log.d);
      sum.store(log_gates + at);
    }
    GATESCAN_INLINE void add_logs(const cplx<simd::pack4<C>>& log, bool begins, index_t at) const {
      add_logs(log.re, begins, at), add_logs(log.im, begins, key_pitch + at);
    }
  };

  const reader& reader_;
  quad_reader quads_;
  index_t count_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
