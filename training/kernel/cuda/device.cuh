// What every kernel file includes. One source, two compilers: nvcc for the device, and a C++ compiler for tests without one (fake/host.h).
//
// Kernels come in pairs: KERNELS(name, parameters, arguments) makes name_f32 and name_bf16 of a function template name<T>, T being
// the type in which activations are stored. Sums, statistics and parameters are float whatever T is.
#pragma once
#include <stdint.h>
typedef long long i64;
typedef unsigned int u32;

#ifdef __CUDACC__
#include <cuda_bf16.h>
typedef __nv_bfloat16 bf16;
#define DEVICE __device__ __forceinline__
#define SINGLE_KERNEL(name) extern "C" __global__ void name
#define SHARED(T, name, n) __shared__ T name[n]
#define DYNAMIC_SHARED(T, name)                            \
  extern __shared__ __align__(16) unsigned char dynamic_[]; \
  T *name = (T *)dynamic_
#define LOOP_UNROLLED _Pragma("unroll")
#define LOOP_ROLLED _Pragma("unroll 1")
DEVICE float fast_exp(float x) { return __expf(x); }
DEVICE float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
DEVICE float to_float(bf16 v) { return __bfloat162float(v); }
DEVICE void from_float(bf16 *p, float v) { *p = __float2bfloat16(v); }
#else
#include "fake/host.h"
#endif

DEVICE float to_float(float v) { return v; }
DEVICE void from_float(float *p, float v) { *p = v; }

template <class T> DEVICE void put(T *p, float v, bool accumulate) { from_float(p, accumulate ? to_float(*p) + v : v); }

#define KERNELS(name, parameters, arguments)                        \
  namespace name##_of_float {                                       \
  typedef float T;                                                  \
  SINGLE_KERNEL(name##_f32) parameters { name<T> arguments; }        \
  }                                                                 \
  namespace name##_of_bf16 {                                        \
  typedef bf16 T;                                                   \
  SINGLE_KERNEL(name##_bf16) parameters { name<T> arguments; }       \
  }                                                                 \
  REGISTER(name##_of_float, name##_f32) REGISTER(name##_of_bf16, name##_bf16)

// KERNEL is a kernel of one type only.
#define KERNEL(name, parameters, ...) \
  SINGLE_KERNEL(name) parameters __VA_ARGS__ \
  REGISTER(, name)

#ifdef __CUDACC__
#define REGISTER(space, name)
#endif

// The element that a thread starts with in a grid-stride loop, and the stride.
DEVICE i64 first_element() { return blockIdx.x * (i64)blockDim.x + threadIdx.x; }
DEVICE i64 element_stride() { return (i64)gridDim.x * blockDim.x; }

// Pack is 16 bytes of elements: one memory access of a thread.
template <class T> struct alignas(16) Pack {
  static constexpr int size = 16 / sizeof(T);
  T v[size];
};

template <class T> DEVICE bool aligned(const T *p) { return ((uintptr_t)p & 15) == 0; }

// Sums over a warp and over a block (whole warps, at most 32 of them), in one order. All threads get the result; the block's needs 32 floats.
DEVICE float warp_sum(float v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}
DEVICE float warp_max(float v) {
  for (int o = 16; o > 0; o >>= 1) v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}
DEVICE float block_sum(float v, float *s) {
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, warps = blockDim.x >> 5;
  v = warp_sum(v);
  if (lane == 0) s[warp] = v;
  __syncthreads();
  v = warp_sum(lane < warps ? s[lane] : 0.f);
  __syncthreads();
  return v;
}
DEVICE float block_max(float v, float *s) {
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, warps = blockDim.x >> 5;
  v = warp_max(v);
  if (lane == 0) s[warp] = v;
  __syncthreads();
  v = warp_max(lane < warps ? s[lane] : -INFINITY);
  __syncthreads();
  return v;
}
