// Sums in a fixed order: of columns, and of all elements.
#include "rows.cuh"

// A block sums part of the rows of 32 parts of columns: 8 warps take rows in turn, a lane one part.
constexpr int warps = 8, span = 32 * part;

// sum_columns adds up rows first, first + 1, ... below last of x, ld apart. Warp 0 has the sums; the block needs warps * span floats.
template <class T> DEVICE void sum_columns(float (&sum)[part], const T *x, i64 ld, i64 first, i64 last, int n, bool whole, float *shared) {
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31;
  LOOP_UNROLLED for (int j = 0; j < part; j++) sum[j] = 0.f;
  if (n > 0) {
    i64 r = first + warp;
    for (; r + 3 * warps < last; r += 4 * warps) {
      float v[4][part];
      LOOP_UNROLLED for (int k = 0; k < 4; k++) load(v[k], x + (r + k * warps) * ld, n, whole);
      LOOP_UNROLLED for (int k = 0; k < 4; k++) add_to(sum, v[k]);
    }
    for (; r < last; r += warps) {
      float v[part];
      load(v, x + r * ld, n, whole);
      add_to(sum, v);
    }
  }
  LOOP_UNROLLED for (int j = 0; j < part; j++) shared[(warp * part + j) * 32 + lane] = sum[j];
  __syncthreads();
  if (warp == 0)
    for (int w = 1; w < warps; w++)
      LOOP_UNROLLED for (int j = 0; j < part; j++) sum[j] += shared[(w * part + j) * 32 + lane];
}

// Column sums of the rows r with r mod period = p: block (x, y) has span columns of one p, and slab y of its count rows. Where there are
// several slabs, each writes its sums to `partial` (slabs, period, cols); else they are added to dp.
template <class F, class T>
DEVICE void sum_rows(T *dp, float *partial, const F *x, i64 rows, i64 cols, i64 period, i64 slab) {
  SHARED(float, shared, warps * span);
  i64 p, c;
  split(blockIdx.x, (cols + span - 1) / span, &p, &c);
  c = c * span + (threadIdx.x & 31) * part;
  int n = (int)min((i64)part, max((i64)0, cols - c));
  i64 count = (rows - p + period - 1) / period, first = blockIdx.y * slab;
  float sum[part];
  sum_columns(sum, x + p * cols + c, period * cols, first, min(count, first + slab), n, packed(x, cols), shared);
  if (threadIdx.x >= 32 || n == 0) return;
  i64 at = p * cols + c;
  if (gridDim.y > 1) {
    store(partial + blockIdx.y * period * cols + at, sum, n, packed(partial, cols));
    return;
  }
  float old[part];
  bool whole = packed(dp, cols);
  load(old, dp + at, n, whole);
  add_to(sum, old);
  store(dp + at, sum, n, whole);
}
PAIRS(sum_rows, (T *dp, float *partial, const F *x, i64 rows, i64 cols, i64 period, i64 slab), (dp, partial, x, rows, cols, period, slab))

// dp += the sum of the slabs
template <class T> DEVICE void add_slabs(T *dp, const float *partial, i64 n, int slabs) {
  for (i64 i = first_element(); i < n; i += element_stride()) {
    float sum = 0.f;
    for (int s = 0; s < slabs; s++) sum += partial[s * n + i];
    put(dp + i, sum, true);
  }
}
KERNELS(add_slabs, (T *dp, const float *partial, i64 n, int slabs), (dp, partial, n, slabs))

// Mean of the first tokens of each sequence: block (x, y) has span columns of sequence y.
template <class T> DEVICE void mean_pool(T *y, const T *x, const int *lengths, i64 t, i64 cols) {
  SHARED(float, shared, warps * span);
  i64 b, c;
  split(blockIdx.x, (cols + span - 1) / span, &b, &c);
  c = c * span + (threadIdx.x & 31) * part;
  int n = (int)min((i64)part, max((i64)0, cols - c));
  i64 count = lengths ? lengths[b] : t;
  float sum[part];
  sum_columns(sum, x + b * t * cols + c, cols, 0, count, n, packed(x, cols), shared);
  if (threadIdx.x >= 32 || n == 0) return;
  LOOP_UNROLLED for (int j = 0; j < part; j++) sum[j] /= (float)max((i64)1, count);
  store(y + b * cols + c, sum, n, packed(y, cols));
}
KERNELS(mean_pool, (T *y, const T *x, const int *lengths, i64 t, i64 cols), (y, x, lengths, t, cols))

// partial[block] is the block's share of Σ x y; of Σ x where y is null.
template <class T> DEVICE void dot(float *partial, const T *x, const T *y, i64 n) {
  SHARED(float, shared, 32);
  bool whole = aligned(x) && aligned(y);
  float sum = 0.f;
  each_part(1, n, [&](i64, i64 i, int elements) {
    float a[part], b[part];
    load(a, x + i, elements, whole);
    if (y) load(b, y + i, elements, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) sum += y ? a[j] * b[j] : a[j];
  });
  sum = block_sum(sum, shared);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
KERNELS(dot, (float *partial, const T *x, const T *y, i64 n), (partial, x, y, n))

DEVICE float sum_of(const float *partial, int n, float *shared) {
  float sum = 0.f;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += partial[i];
  return block_sum(sum, shared);
}

// dst += the sum of n partial sums, by one block
template <class T> DEVICE void add_sum(T *dst, const float *partial, int n) {
  SHARED(float, shared, 32);
  float sum = sum_of(partial, n, shared);
  if (threadIdx.x == 0) put(dst, sum, true);
}
KERNELS(add_sum, (T *dst, const float *partial, int n), (dst, partial, n))

// ds += f'(s) times the sum of n partial sums, by one block; factors are device.Factor's
KERNEL(add_slope, (float *ds, const float *s, const float *partial, int factor, int n), {
  SHARED(float, shared, 32);
  float sum = sum_of(partial, n, shared);
  if (threadIdx.x == 0) *ds += sum * (factor == 1 ? expf(*s) : factor == 2 ? -1.f / (*s * *s) : 1.f);
})
