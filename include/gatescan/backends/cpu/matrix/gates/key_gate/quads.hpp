#pragma once
// The innermost level of a chunk: a quad of four tokens (a micro-chunk), where decays are running
// products of the gates. With t, s the tokens of a quad that begins at f:
//
//   q^_t = q_t prod_{f<=j<=t} a_j     k^_s = k_s prod_{s<j} a_j     total = prod a_j     [K] each
//   P_ts = Re sum_i q_t[i] k_s[i] prod_{s<j<=t} a_j[i]               s <= t
//
// With readout::exclusive a query's decays stop before its own gate, j < t; P_tt = Re q_t . own_t.
// Keys are read once, so they need not lie in tiles: a key_source reads them where they are.

#include "../../chunk_kernel.hpp"

namespace gatescan {
inline namespace GATESCAN_ABI {
namespace detail {

inline constexpr index_t quad_tokens = 4;

/// Where the products of a quad go.
template <class C>
struct quad_products {
  matrix_shape n;
  C* q_decayed;   // [token][rows]: conj(q^ prod of the subchunk's gates before the quad)
  C* k_decayed;   // [token][rows]: k^
  C* q_quad;      // [token][rows]: conj(q^)
  C* quad_total;  // [rows]
  C* total;       // [rows]: product of the subchunk's gates, so far
  C* scores;      // [s][t], rows of subchunk_tokens: P; 0 where s > t
};

/// Makes the products of the `count` tokens from `first` on, one to four.
template <class C>
class key_source {
 public:
  virtual void products_of_quad(index_t first, index_t count, bool begins_subchunk,
                                const quad_products<C>& to) const = 0;
  /// For those who read keys from tiles.
  virtual void fill_tiles() const = 0;

 protected:
  ~key_source() = default;
};

// The keys of a few tokens, one register of them.
template <class E, std::size_t N>
struct keys_of_tokens {
  E q[N], k[N], a[N], own[N];  // own with readout::exclusive
};

/// keys.read(first, i, keys_of_tokens) reads a register of keys of N tokens.
template <bool IsComplex, readout Reads, std::size_t N, class Keys, class C>
void set_quad_products(const Keys& keys, index_t first, bool begins_subchunk,
                       const quad_products<C>& to) {
  using P = simd::pack<C>;
  using E = element_t<C, IsComplex>;
  constexpr index_t count = N;
  constexpr bool exclusive = Reads == readout::exclusive;
  const auto from = held(keys);
  const index_t pitch = to.n.key_pitch, rows = to.n.rows;
  C *const q_decayed = to.q_decayed, *const k_decayed = to.k_decayed;
  C *const q_quad = to.q_quad, *const quad_total = to.quad_total, *const total = to.total;
  P sums[N * (N + 1) / 2];
#pragma GCC unroll 16
  for (P& sum : sums) sum = P(0);
  for (index_t i = 0; i < pitch; i += simd::lanes<C>) {
    keys_of_tokens<E, N> x;
    from.read(first, i, x);
    E since_first = constant<IsComplex>(C(1));
    const E before =
        begins_subchunk ? constant<IsComplex>(C(1)) : load_keys<IsComplex>(total, i, pitch);
#pragma GCC unroll 4
    for (index_t t = 0; t < count; ++t) {
      const E until_before = since_first;
      since_first = t == 0 ? x.a[t] : since_first * x.a[t];
      const E qt = conj(!exclusive ? x.q[t] * since_first
                        : t == 0   ? x.q[t]
                                   : x.q[t] * until_before);
      store_keys<IsComplex>(q_quad + t * rows, i, pitch, qt);
      store_keys<IsComplex>(q_decayed + t * rows, i, pitch, qt * conj(before));
    }
    store_keys<IsComplex>(quad_total, i, pitch, since_first);
    store_keys<IsComplex>(total, i, pitch, since_first * before);
    index_t sum = 0;
#pragma GCC unroll 4
    for (index_t s = 0; s < count; ++s) {
      E ks = x.k[s];
#pragma GCC unroll 4
      for (index_t t = s; t < count; ++t, ++sum) {
        if (!exclusive && t > s) ks = ks * x.a[t];
        sums[sum] = add_real_product(exclusive && t == s ? x.own[t] : ks, x.q[t], sums[sum]);
        if (exclusive && t > s) ks = ks * x.a[t];
      }
      store_keys<IsComplex>(k_decayed + s * rows, i, pitch, ks);
    }
  }
  alignas(simd::register_bytes) C added[N * (N + 1) / 2];
  simd::sum_each(sums, added);
  const C* next = added;
  for (index_t s = 0; s < count; ++s)
    for (index_t t = 0; t < count; ++t) to.scores[s * subchunk_tokens + t] = t < s ? C(0) : *next++;
}

/// Keys that lie in tiles.
template <class C, bool IsComplex, readout Reads = readout::inclusive>
class keys_in_tiles final : public key_source<C> {
 public:
  explicit keys_in_tiles(const matrix_tiles<C>& x) : tiles_{x} {}

  void products_of_quad(index_t first, index_t count, bool begins_subchunk,
                        const quad_products<C>& to) const override {
    const auto products = [&]<std::size_t N>() {
      set_quad_products<IsComplex, Reads, N>(tiles_, first, begins_subchunk, to);
    };
    if (count == 4)
      products.template operator()<4>();
    else if (count == 3)
      products.template operator()<3>();
    else if (count == 2)
      products.template operator()<2>();
    else
      products.template operator()<1>();
  }
  void fill_tiles() const override {}

 private:
  struct reader {
    matrix_tiles<C> x;

    template <std::size_t N>
    GATESCAN_INLINE void read(index_t first, index_t i,
                              keys_of_tokens<element_t<C, IsComplex>, N>& to) const {
      const index_t at = first * x.n.rows;
#pragma GCC unroll 4
      for (index_t t = 0; t < index_t{N}; ++t) {
        const index_t row = at + t * x.n.rows;
        to.q[t] = load_keys<IsComplex>(x.q + row, i, x.n.key_pitch);
        to.k[t] = load_keys<IsComplex>(x.k + row, i, x.n.key_pitch);
        to.a[t] = load_keys<IsComplex>(x.a + row, i, x.n.key_pitch);
        if constexpr (Reads == readout::exclusive)
          to.own[t] = load_keys<IsComplex>(x.own + row, i, x.n.key_pitch);
      }
    }
  };
  reader tiles_;
};

}  // namespace detail
}  // namespace GATESCAN_ABI
}  // namespace gatescan
