// The recurrences' prologues and epilogues are device code as they stand: a plain chunked forward
// of a real per-key recurrence, written against them with one thread a value. Compiled, not run; it
// shows that the seam between recurrence and backend holds on a device.

#include <gatescan/recurrences/all.hpp>

namespace device_test {

using namespace gatescan;

// One token, one key or one value, in one thread.
struct scalar_cursor {
  index_t b, t, h, key, value;

  template <class S>
  GATESCAN_HD float operator()(const operand<S>& x) const {
    return convert<float>(x.re[x.offset(b, t, h) + key * x.key + value * x.value]);
  }
  template <class S>
  GATESCAN_HD float element(const operand<S>& x) const {
    return (*this)(x);
  }
};

template <class R, int Keys, int Chunk>
__global__ void chunked_forward(typename R::template fields<operand<const float>> x,
                                operand<float> out, index_t tokens, index_t heads) {
  __shared__ float q[Chunk][Keys], k[Chunk][Keys], a[Chunk][Keys], scores[Chunk][Chunk];
  const index_t b = blockIdx.x / heads, h = blockIdx.x % heads, j = threadIdx.x;
  float state[Keys] = {};
  for (index_t first = 0; first < tokens; first += Chunk) {
    const int count = static_cast<int>(tokens - first < Chunk ? tokens - first : Chunk);
    __syncthreads();
    for (int n = static_cast<int>(threadIdx.x); n < count * Keys;
         n += static_cast<int>(blockDim.x)) {
      const auto key = R::keys(x, scalar_cursor{b, first + n / Keys, h, n % Keys, 0});
      q[n / Keys][n % Keys] = key.q;
      k[n / Keys][n % Keys] = key.k;
      a[n / Keys][n % Keys] = key.gate;
    }
    __syncthreads();
    for (int n = static_cast<int>(threadIdx.x); n < count * count;
         n += static_cast<int>(blockDim.x)) {
      const int t = n / count, s = n % count;
      float score = 0;
      for (int i = 0; s <= t && i < Keys; ++i) {
        float w = k[s][i];
        for (int u = s + 1; u <= t; ++u) w *= a[u][i];
        score += q[t][i] * w;
      }
      scores[t][s] = score;
    }
    __syncthreads();
    float v[Chunk];
    for (int t = 0; t < count; ++t) {
      const scalar_cursor at{b, first + t, h, 0, j};
      const auto values = R::values(x, at);
      v[t] = values.v;
      float o = 0;
      for (int s = 0; s <= t; ++s) o += scores[t][s] * v[s];
      for (int i = 0; i < Keys; ++i) {
        float decayed = q[t][i];
        for (int u = 0; u <= t; ++u) decayed *= a[u][i];
        o += decayed * state[i];
      }
      out.re[out.offset(b, first + t, h) + j * out.value] = R::output(x, at, values, o);
    }
    for (int t = 0; t < count; ++t)
      for (int i = 0; i < Keys; ++i) state[i] = a[t][i] * state[i] + k[t][i] * v[t];
  }
}

template __global__ void chunked_forward<gla, 64, 16>(gla::fields<operand<const float>>,
                                                      operand<float>, index_t, index_t);

}  // namespace device_test
