// Products of a few rows, as generation has them: what they take is the time to read the matrix once. bfloat16, sums in float32 in one order.
#include "activation.cuh"

constexpr int gemv_threads = 256, gemv_warps = gemv_threads / 32, gemv_pack = 8;
constexpr int gemv_strip = 32 * gemv_pack; // columns of a block, where the matrix is (k, n)

#ifdef __CUDACC__
DEVICE float fresh(const float *p) { return __ldcg(p); } // what another block has written
DEVICE void publish() { __threadfence(); }
#else
DEVICE float fresh(const float *p) { return *p; }
DEVICE void publish() {}
#endif

// Ending is what becomes of a sum: c = activation(sum + bias) + residual, the sum with what was in c where it accumulates. bias and residual may be null.
template <class T> struct Ending {
  T *c;
  const float *bias;
  const T *residual;
  int accumulate, kind;
};
template <class T> DEVICE void finish_sum(const Ending<T> &e, i64 at, i64 column, float v) {
  if (e.accumulate) v += to_float(e.c[at]);
  if (e.bias) v += e.bias[column];
  v = activation(e.kind, v);
  from_float(e.c + at, e.residual ? v + to_float(e.residual[at]) : v);
}

// add: sums[m] += a[m, k..k+8] times the lane's 8 columns of as many rows of b.
template <int M> DEVICE void add(float (&sums)[M][gemv_pack], const bf16 *a, i64 lda, int rows, const bf16 *b, i64 ldb) {
  Pack<bf16> x[M], w[gemv_pack];
  LOOP_UNROLLED for (int j = 0; j < gemv_pack; j++) w[j] = *(const Pack<bf16> *)(b + j * ldb);
  LOOP_UNROLLED for (int m = 0; m < M; m++) x[m] = *(const Pack<bf16> *)(a + min(m, rows - 1) * lda);
  LOOP_UNROLLED for (int j = 0; j < gemv_pack; j++)
    LOOP_UNROLLED for (int m = 0; m < M; m++)
      LOOP_UNROLLED for (int e = 0; e < gemv_pack; e++) sums[m][e] += to_float(x[m].v[j]) * to_float(w[j].v[e]);
}

// c (rows, n) from a (rows, k) and b (k, n). Block (x, y) has a strip of columns and `span` of k; its warps take 8 of k in turn. Where several blocks have a strip, each leaves
// its sums in `partial`, (blocks, rows, n), and the last to come, by its ticket, adds them up in their order. Tickets are 0 before and after.
template <class T, int M>
DEVICE void gemv(Ending<T> e, const bf16 *a, const bf16 *b, float *partial, int *tickets, int rows, i64 n, i64 k, i64 span) {
  SHARED(float, shared, gemv_warps * gemv_strip);
  SHARED(int, last, 1);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  i64 first = blockIdx.x * (i64)gemv_strip, column = first + threadIdx.x, own = first + lane * gemv_pack;
  i64 end = min(k, (blockIdx.y + 1) * span);
  float sums[M][gemv_pack] = {};
  if (own < n)
    for (i64 at = blockIdx.y * span + warp * gemv_pack; at < end; at += gemv_warps * gemv_pack) add(sums, a + at, k, rows, b + at * n + own, n);
  LOOP_UNROLLED for (int m = 0; m < M; m++) {
    __syncthreads();
    LOOP_UNROLLED for (int i = 0; i < gemv_pack; i++) shared[warp * gemv_strip + lane * gemv_pack + i] = sums[m][i];
    __syncthreads();
    if (m >= rows || column >= n) continue;
    float v = 0;
    for (int w = 0; w < gemv_warps; w++) v += shared[w * gemv_strip + threadIdx.x];
    if (gridDim.y == 1)
      finish_sum(e, m * n + column, column, v);
    else
      partial[(blockIdx.y * (i64)rows + m) * n + column] = v;
  }
  if (gridDim.y == 1) return;
  publish();
  __syncthreads();
  if (threadIdx.x == 0) last[0] = atomicAdd(&tickets[blockIdx.x], 1) == (int)gridDim.y - 1;
  __syncthreads();
  if (!last[0]) return;
  if (threadIdx.x == 0) tickets[blockIdx.x] = 0;
  publish();
  if (column >= n) return;
  for (int m = 0; m < rows; m++) {
    float v = 0;
    for (int s = 0; s < (int)gridDim.y; s++) v += fresh(partial + (s * (i64)rows + m) * n + column);
    finish_sum(e, m * n + column, column, v);
  }
}

// The same with b stored (n, k): a warp has a column.
template <class T, int M> DEVICE void gemv_turned(Ending<T> e, const bf16 *a, const bf16 *b, int rows, i64 n, i64 k) {
  int lane = threadIdx.x & 31;
  i64 column = blockIdx.x * (i64)gemv_warps + (threadIdx.x >> 5);
  if (column >= n) return;
  float sums[M] = {};
  LOOP_ROLLED for (i64 at = lane * gemv_pack; at < k; at += gemv_strip) {
    Pack<bf16> w = *(const Pack<bf16> *)(b + column * k + at);
    LOOP_UNROLLED for (int m = 0; m < M; m++) {
      Pack<bf16> x = *(const Pack<bf16> *)(a + min(m, rows - 1) * k + at);
      LOOP_UNROLLED for (int i = 0; i < gemv_pack; i++) sums[m] += to_float(x.v[i]) * to_float(w.v[i]);
    }
  }
  LOOP_UNROLLED for (int m = 0; m < M; m++) {
    float v = warp_sum(sums[m]);
    if (lane == 0 && m < rows) finish_sum(e, m * n + column, column, v);
  }
}

#define OF_ROWS(M)                                                                                                                                                     \
  template <class T> DEVICE void gemv_##M(Ending<T> e, const bf16 *a, const bf16 *b, float *partial, int *tickets, int rows, i64 n, i64 k, i64 span) {                \
    gemv<T, M>(e, a, b, partial, tickets, rows, n, k, span);                                                                                                          \
  }                                                                                                                                                                    \
  KERNELS(gemv_##M, (Ending<T> e, const bf16 *a, const bf16 *b, float *partial, int *tickets, int rows, i64 n, i64 k, i64 span), (e, a, b, partial, tickets, rows, n, k, span)) \
  template <class T> DEVICE void gemv_turned_##M(Ending<T> e, const bf16 *a, const bf16 *b, int rows, i64 n, i64 k) { gemv_turned<T, M>(e, a, b, rows, n, k); }         \
  KERNELS(gemv_turned_##M, (Ending<T> e, const bf16 *a, const bf16 *b, int rows, i64 n, i64 k), (e, a, b, rows, n, k))
OF_ROWS(1)
OF_ROWS(2)
OF_ROWS(4)
