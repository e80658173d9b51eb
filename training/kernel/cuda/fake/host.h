// The device language on a CPU, as far as the kernels use it: one fiber a thread, blocks one after another. Memory that a block shares
// starts as NaN and threads run in their order, each to the next barrier: a barrier that is missing shows.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

struct Dim3 {
  unsigned x, y, z;
};
extern Dim3 threadIdx, blockIdx, blockDim, gridDim; // set at every switch of fibers

namespace fake {
// Kernel runs one thread from packed arguments; sizes are size and alignment of each.
struct Kernel {
  std::function<void(void **)> run;
  std::vector<std::pair<size_t, size_t>> sizes;
};
void add(const char *name, Kernel k);
template <class... A, size_t... I> void call(void (*f)(A...), void **p, std::index_sequence<I...>) { f(*(A *)p[I]...); }
template <class... A> bool enter(const char *name, void (*f)(A...)) {
  add(name, {[f](void **p) { call(f, p, std::index_sequence_for<A...>{}); }, {{sizeof(A), alignof(A)}...}});
  return true;
}
void sync_threads();
void sync_warp();
// exchange gives lane the 16 words at mine and returns those of all 32 lanes of the warp, until the next exchange.
const uint32_t (*exchange(const uint32_t *mine, int words))[16];
// shared is the block's memory of one declaration.
void *shared(const void *declaration, size_t bytes);
extern unsigned char *dynamic;
inline unsigned thread() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }
} // namespace fake

#define DEVICE static inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define SINGLE_KERNEL(name) static void name
#define REGISTER(space, name) static bool entered_##name = fake::enter(#name, space::name);
#define SHARED(T, name, n)     \
  static char declaration_##name; \
  T *name = (T *)fake::shared(&declaration_##name, sizeof(T) * (n))
#define DYNAMIC_SHARED(T, name) T *name = (T *)fake::dynamic
#define LOOP_UNROLLED
#define LOOP_ROLLED
#define __syncthreads() fake::sync_threads()
#define __syncwarp(...) fake::sync_warp()

struct bf16 {
  uint16_t bits;
};
static inline float to_float(bf16 v) {
  uint32_t x = (uint32_t)v.bits << 16;
  float f;
  memcpy(&f, &x, 4);
  return f;
}
static inline void from_float(bf16 *p, float v) { // to the nearest, ties to even
  uint32_t x;
  memcpy(&x, &v, 4);
  p->bits = (x & 0x7fffffffu) > 0x7f800000u ? 0x7fff : (uint16_t)((x + 0x7fffu + ((x >> 16) & 1)) >> 16);
}

static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline float fast_exp(float x) { return expf(x); }
static inline float fast_exp2(float x) { return exp2f(x); }
template <class T> T shuffle(T v, unsigned from) {
  uint32_t w[2] = {};
  memcpy(w, &v, sizeof v);
  auto all = fake::exchange(w, 2);
  memcpy(&v, all[from & 31], sizeof v);
  return v;
}
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return shuffle(v, (fake::thread() & 31) ^ mask); }
template <class T> T __shfl_sync(unsigned, T v, int lane) { return shuffle(v, lane); }
template <class T> T __shfl_down_sync(unsigned, T v, int d) {
  unsigned lane = fake::thread() & 31;
  return shuffle(v, lane + d > 31 ? lane : lane + d);
}
template <class T> T __shfl_up_sync(unsigned, T v, int d) {
  unsigned lane = fake::thread() & 31;
  return shuffle(v, lane < (unsigned)d ? lane : lane - d);
}
static inline unsigned __ballot_sync(unsigned, int p) {
  uint32_t w = p != 0;
  auto all = fake::exchange(&w, 1);
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= all[i][0] << i;
  return r;
}
template <class T> T atomicAdd(T *p, T v) { // fibers run one at a time
  T old = *p;
  *p += v;
  return old;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __float_as_int(float f) { int i; memcpy(&i, &f, 4); return i; }
static inline float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
