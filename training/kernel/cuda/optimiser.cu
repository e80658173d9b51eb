// Optimisers. They read and write every parameter once, so memory is what they take.
#include "device.cuh"

// Floats is neighbouring elements, of one access to memory.
template <int n> struct alignas(4 * n) Floats {
  float v[n];
};
template <int n> struct Count {
  static constexpr int value = n;
};

// fours calls f(i, count) for elements i to i + count, count being a Count<4> as far as `whole` allows, else a Count<1>.
template <class F> DEVICE void fours(i64 n, bool whole, F f) {
  i64 packs = whole ? n / 4 : 0;
  for (i64 p = first_element(); p < packs; p += element_stride()) f(p * 4, Count<4>{});
  for (i64 i = packs * 4 + first_element(); i < n; i += element_stride()) f(i, Count<1>{});
}
template <int n> DEVICE Floats<n> read(const float *p) { return *(const Floats<n> *)p; }
template <int n> DEVICE void write(float *p, const Floats<n> &x) { *(Floats<n> *)p = x; }

// narrow_copy keeps the copy that products read, where there is one.
template <int n> DEVICE void narrow_copy(bf16 *p, i64 i, const Floats<n> &x) {
  if (!p) return;
  LOOP_UNROLLED for (int j = 0; j < n; j++) from_float(p + i + j, x.v[j]);
}

// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g², p = keep p - rate m / (sqrt(v) root + eps); g times scale first. The corrections of both moments are in
// rate and root. narrow may be null.
KERNEL(adamw,
       (float *p, const float *g, float *m, float *v, bf16 *narrow, float scale, float b1, float c1, float b2, float c2, float rate, float root, float eps,
        float keep, i64 size),
       {
         fours(size, aligned(p) && aligned(g) && aligned(m) && aligned(v), [=](i64 i, auto count) {
           constexpr int n = decltype(count)::value;
           Floats<n> w = read<n>(p + i), d = read<n>(g + i), first = read<n>(m + i), second = read<n>(v + i);
           LOOP_UNROLLED for (int j = 0; j < n; j++) {
             float x = scale * d.v[j];
             first.v[j] = b1 * first.v[j] + c1 * x;
             second.v[j] = b2 * second.v[j] + c2 * x * x;
             w.v[j] = keep * w.v[j] - rate * first.v[j] / (sqrtf(second.v[j]) * root + eps);
           }
           write(p + i, w);
           write(m + i, first);
           write(v + i, second);
           narrow_copy(narrow, i, w);
         });
       })

// d = decay d + rest x
KERNEL(ema, (float *d, const float *x, float decay, float rest, i64 size), {
  fours(size, aligned(d) && aligned(x), [=](i64 i, auto count) {
    constexpr int n = decltype(count)::value;
    Floats<n> a = read<n>(d + i), b = read<n>(x + i);
    LOOP_UNROLLED for (int j = 0; j < n; j++) a.v[j] = decay * a.v[j] + rest * b.v[j];
    write(d + i, a);
  });
})

KERNEL(clamp, (float *p, float lo, float hi, i64 size), {
  fours(size, aligned(p), [=](i64 i, auto count) {
    constexpr int n = decltype(count)::value;
    Floats<n> x = read<n>(p + i);
    LOOP_UNROLLED for (int j = 0; j < n; j++) x.v[j] = fminf(fmaxf(x.v[j], lo), hi);
    write(p + i, x);
  });
})

// Sums in float64. All threads of a block get the sum of the block's.
DEVICE double block_total(double v) {
  SHARED(double, parts, 32);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, warps = blockDim.x >> 5;
  for (int turn = 0; turn < 2; turn++) {
    for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
    if (turn) break;
    if (lane == 0) parts[warp] = v;
    __syncthreads();
    v = lane < warps ? parts[lane] : 0;
  }
  __syncthreads();
  return v;
}

// Each block's share of the sum of squares, in its place of partial.
template <class T> DEVICE void sum_squares(const T *x, double *partial, i64 size) {
  double sum = 0;
  i64 packs = aligned(x) ? size / Pack<T>::size : 0;
  for (i64 p = first_element(); p < packs; p += element_stride()) {
    Pack<T> a = *(const Pack<T> *)(x + p * Pack<T>::size);
    LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) sum += (double)to_float(a.v[j]) * to_float(a.v[j]);
  }
  for (i64 i = packs * Pack<T>::size + first_element(); i < size; i += element_stride()) sum += (double)to_float(x[i]) * to_float(x[i]);
  sum = block_total(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}
KERNELS(sum_squares, (const T *x, double *partial, i64 size), (x, partial, size))

// total = the sum of all partial sums. One block.
KERNEL(sum_partials, (double *total, const double *partial, i64 count), {
  double sum = 0;
  for (i64 i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
  sum = block_total(sum);
  if (threadIdx.x == 0) *total = sum;
})

// Muon, on matrices of n elements each, number blockIdx.y of them. First the momentum, m = momentum m + scale g, and each block's share of |u|², u =
// scale g + momentum m.
KERNEL(muon_momentum, (float *m, const float *g, double *partial, float momentum, float scale, i64 n), {
  i64 at = blockIdx.y * n;
  double sum = 0;
  for (i64 i = first_element(); i < n; i += element_stride()) {
    float d = scale * g[at + i];
    float next = momentum * m[at + i] + d;
    float u = d + momentum * next;
    m[at + i] = next;
    sum += (double)u * u;
  }
  sum = block_total(sum);
  if (threadIdx.x == 0) partial[(i64)blockIdx.y * gridDim.x + blockIdx.x] = sum;
})

// Then x = u / (|u| + 1e-7), from the new momentum and the partial sums.
template <class T> DEVICE void muon_direction(T *x, const float *m, const float *g, const double *partial, int partials, float momentum, float scale, i64 n) {
  i64 at = blockIdx.y * n;
  double sum = 0;
  for (int i = threadIdx.x; i < partials; i += blockDim.x) sum += partial[(i64)blockIdx.y * partials + i];
  float factor = (float)(1 / (sqrt(block_total(sum)) + 1e-7));
  for (i64 i = first_element(); i < n; i += element_stride()) from_float(x + at + i, factor * (scale * g[at + i] + momentum * m[at + i]));
}
KERNELS(muon_direction, (T *x, const float *m, const float *g, const double *partial, int partials, float momentum, float scale, i64 n),
        (x, m, g, partial, partials, momentum, scale, n))

// Last p = keep p - rate o, all matrices at once. narrow may be null.
template <class T> DEVICE void muon_update(float *p, const T *o, bf16 *narrow, float keep, float rate, i64 size) {
  for (i64 i = first_element(); i < size; i += element_stride()) {
    Floats<1> w{{keep * p[i] - rate * to_float(o[i])}};
    write(p + i, w);
    narrow_copy(narrow, i, w);
  }
}
KERNELS(muon_update, (float *p, const T *o, bf16 *narrow, float keep, float rate, i64 size), (p, o, narrow, keep, rate, size))
