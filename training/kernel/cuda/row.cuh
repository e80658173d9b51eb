// Rows that several threads share: what each thread has of a row, and sums over the threads of a row.
#pragma once
#include "device.cuh"

// MEMBER is DEVICE for members of structs. LOOP_ROLLED is for loops that hardly ever run: unrolled they would only take registers.
#ifdef __CUDACC__
#define MEMBER DEVICE
#define LOOP_ROLLED _Pragma("unroll 1")
#else
#define MEMBER inline
#define LOOP_ROLLED
#endif

// Kernels of rows run in blocks of at most this many threads, and may have as many registers as that leaves.
constexpr int row_threads = 512;

// ROW_KERNELS is KERNELS for blocks of at most row_threads threads.
#define ROW_KERNELS(name, parameters, arguments)                                           \
  namespace name##_of_float {                                                              \
  typedef float T;                                                                         \
  SINGLE_KERNEL(__launch_bounds__(row_threads) name##_f32) parameters { name<T> arguments; } \
  }                                                                                        \
  namespace name##_of_bf16 {                                                               \
  typedef bf16 T;                                                                          \
  SINGLE_KERNEL(__launch_bounds__(row_threads) name##_bf16) parameters { name<T> arguments; } \
  }                                                                                        \
  REGISTER(name##_of_float, name##_f32) REGISTER(name##_of_bf16, name##_bf16)

// Few is N elements of a thread, adjacent. They take accesses of 16 bytes, or one where they are fewer.
template <class T, int N> struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) Few {
  T v[N];
};

// Share is what one of `threads` threads has of n elements, a multiple of N: at every step U times N of them, each N beside those of its neighbours.
template <int N, int U = 1> struct Share {
  static constexpr int M = U * N;
  int thread, threads, n;

  MEMBER int steps() const { return (n + threads * M - 1) / (threads * M); }
  // Element i of a step, below M.
  MEMBER int at(int step, int i = 0) const { return ((step * U + i / N) * threads + thread) * N + i % N; }
  MEMBER bool has(int step, int i = 0) const { return at(step, i) < n; }

  // few reads N elements, i being the first, or numbers that stand for nothing.
  template <class T> MEMBER Few<T, N> few(const T *row, int step, int i, float nothing) const {
    if (has(step, i)) return *(const Few<T, N> *)(row + at(step, i));
    Few<T, N> f;
    LOOP_UNROLLED for (int j = 0; j < N; j++) from_float(&f.v[j], nothing);
    return f;
  }
  // load reads what the thread has at a step.
  template <class T> MEMBER void load(float (&v)[M], const T *row, int step, float nothing) const {
    Few<T, N> f[U];
    LOOP_UNROLLED for (int u = 0; u < U; u++) f[u] = few(row, step, u * N, nothing);
    LOOP_UNROLLED for (int i = 0; i < M; i++) v[i] = to_float(f[i / N].v[i % N]);
  }
  template <class T> MEMBER void store(T *row, int step, const float (&v)[M], bool accumulate = false) const {
    LOOP_UNROLLED for (int u = 0; u < U; u++) {
      if (!has(step, u * N)) return;
      Few<T, N> *to = (Few<T, N> *)(row + at(step, u * N)), f;
      if (accumulate) f = *to;
      LOOP_UNROLLED for (int i = 0; i < N; i++) put(&f.v[i], v[u * N + i], accumulate);
      *to = f;
    }
  }
};

// Group is the warps of a block that share a row. Groups are of one size and go through their rows in step: sums are for all of them at once.
struct Group {
  static constexpr int most_sums = 4, exchange_floats = 2 * most_sums * 32;
  int warps, index, thread, threads, groups;
  float *exchange; // of the block: two, so that one barrier is enough
  int turn;

  MEMBER Group(int warps, float *exchange) : warps(warps), threads(32 * warps), exchange(exchange), turn(0) {
    index = threadIdx.x / threads;
    thread = threadIdx.x % threads;
    groups = blockDim.x / threads;
  }
  MEMBER i64 first_row() const { return blockIdx.x * (i64)groups; }
  MEMBER i64 stride() const { return gridDim.x * (i64)groups; }

  // sum adds up each of M numbers over the group, in one order. All threads get the results.
  template <int M> MEMBER void sum(float (&v)[M]) {
    LOOP_UNROLLED for (int j = 0; j < M; j++) v[j] = warp_sum(v[j]);
    if (warps == 1) return;
    float *s = swap(v);
    int lane = threadIdx.x & 31;
    LOOP_UNROLLED for (int j = 0; j < M; j++) v[j] = warp_sum(lane < warps ? s[j * 32 + index * warps + lane] : 0.f);
  }
  MEMBER float sum(float x) {
    float v[1] = {x};
    sum(v);
    return v[0];
  }
  MEMBER float max(float x) {
    float v[1] = {warp_max(x)};
    if (warps == 1) return v[0];
    float *s = swap(v);
    int lane = threadIdx.x & 31;
    return warp_max(lane < warps ? s[index * warps + lane] : -INFINITY);
  }

private:
  // swap shows each warp's numbers to the block.
  template <int M> MEMBER float *swap(const float (&v)[M]) {
    float *s = exchange + turn * most_sums * 32;
    turn ^= 1;
    if ((threadIdx.x & 31) == 0) LOOP_UNROLLED for (int j = 0; j < M; j++) s[j * 32 + (threadIdx.x >> 5)] = v[j];
    __syncthreads();
    return s;
  }
};
