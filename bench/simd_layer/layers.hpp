// What is compared: each layer's scan and exp, compiled in a file of its own.
#pragma once

namespace simd_layer {

inline constexpr int states = 16;

struct scan_operands {  // u, delta, z, out: [tokens, channels]; B, C: [tokens, states]
  long tokens, channels;
  const float *u, *delta, *A, *B, *C, *D, *z;
  float *out, *final_state;  // A, final_state: [channels, states]
};

struct layer {
  const char* name;
  int lanes;
  void (*scan)(const scan_operands&);
  void (*exp)(const float* x, float* y, int n);      // the polynomial that all layers share
  void (*own_exp)(const float* x, float* y, int n);  // what comes with the layer
};

layer with_vector_extensions();
layer with_highway();

}  // namespace simd_layer
