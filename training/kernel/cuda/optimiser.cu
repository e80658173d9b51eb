// Optimisers. They read and write every parameter once, so memory is what they take.
#include "device.cuh"

// Floats is neighbouring elements, of one access to memory.
template <int n> struct alignas(4 * n) Floats {
  float v[n];
};
template <int n> struct Count {
  static constexpr int value = n;
};

// fours calls f(i, count) for elements i to i + count of those below n, count being a Count<4> as far as `whole` allows, else a Count<1>. Threads take
// elements in turn: this one is number `thread` of `threads`.
template <class F> DEVICE void fours(i64 n, bool whole, i64 thread, i64 threads, F f) {
  i64 packs = whole ? n / 4 : 0;
  for (i64 p = thread; p < packs; p += threads) f(p * 4, Count<4>{});
  for (i64 i = packs * 4 + thread; i < n; i += threads) f(i, Count<1>{});
}
template <class F> DEVICE void fours(i64 n, bool whole, F f) { fours(n, whole, first_element(), element_stride(), f); }
template <int n> DEVICE Floats<n> read(const float *p) { return *(const Floats<n> *)p; }
template <int n> DEVICE void write(float *p, const Floats<n> &x) { *(Floats<n> *)p = x; }

// narrow_copy keeps the copy that products read, where there is one.
template <int n> DEVICE void narrow_copy(bf16 *p, i64 i, const Floats<n> &x) {
  if (!p) return;
  LOOP_UNROLLED for (int j = 0; j < n; j++) from_float(p + i + j, x.v[j]);
}

// What many tensors are worked on with: a block takes one chunk of one of them. Lists are in the device's memory, each element a tensor with its size and
// the number of its first chunk; no tensor is empty.
constexpr i64 chunk = 8192;

// owner is the tensor that the block works on; begin and size say which of its elements.
template <class L> DEVICE const L &owner(const L *list, int count, i64 *begin, i64 *size) {
  int low = 0, high = count;
  while (high - low > 1) {
    int middle = (low + high) / 2;
    if (list[middle].first <= blockIdx.x)
      low = middle;
    else
      high = middle;
  }
  const L &l = list[low];
  *begin = (blockIdx.x - l.first) * chunk;
  *size = min(chunk, l.size - *begin);
  return l;
}

// Clip is what the gradients of an update have in common: the sum of their squares, what they are multiplied by, and whether there is an update. Narrow
// copies are written in any case.
struct Clip {
  double squares;
  float scale;
  int apply;
};

// m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g², p = keep p - rate m / (sqrt(v) root + eps); g times the clip's scale first. The corrections of both moments
// are in rate and root. narrow may be null.
struct Adam {
  float *p;
  const float *g;
  float *m, *v;
  bf16 *narrow;
  i64 size, first;
  float b1, c1, b2, c2, rate, root, eps, keep;
};
KERNEL(adamw, (const Adam *list, int count, const Clip *clip), {
  bool apply = clip->apply;
  float scale = clip->scale;
  i64 begin, size;
  Adam a = owner(list, count, &begin, &size);
  float *p = a.p + begin, *m = a.m + begin, *v = a.v + begin;
  const float *g = a.g + begin;
  bf16 *narrow = a.narrow ? a.narrow + begin : a.narrow;
  fours(size, aligned(p) && aligned(g) && aligned(m) && aligned(v), threadIdx.x, blockDim.x, [=](i64 i, auto count) {
    constexpr int n = decltype(count)::value;
    Floats<n> w = read<n>(p + i);
    if (!apply) return narrow_copy(narrow, i, w);
    Floats<n> d = read<n>(g + i), first = read<n>(m + i), second = read<n>(v + i);
    LOOP_UNROLLED for (int j = 0; j < n; j++) {
      float x = scale * d.v[j];
      first.v[j] = a.b1 * first.v[j] + a.c1 * x;
      second.v[j] = a.b2 * second.v[j] + a.c2 * x * x;
      w.v[j] = a.keep * w.v[j] - a.rate * first.v[j] / (sqrtf(second.v[j]) * a.root + a.eps);
    }
    write(p + i, w);
    write(m + i, first);
    write(v + i, second);
    narrow_copy(narrow, i, w);
  });
})

// Zeros for all tensors.
struct Words {
  float *p;
  i64 size, first;
};
KERNEL(clear, (const Words *list, int count), {
  i64 begin, size;
  float *p = owner(list, count, &begin, &size).p + begin;
  fours(size, aligned(p), threadIdx.x, blockDim.x, [=](i64 i, auto count) { write(p + i, Floats<decltype(count)::value>{}); });
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

template <class T> DEVICE double squares_of(const T *x, i64 size) {
  double sum = 0;
  i64 packs = aligned(x) ? size / Pack<T>::size : 0;
  for (i64 p = threadIdx.x; p < packs; p += blockDim.x) {
    Pack<T> a = *(const Pack<T> *)(x + p * Pack<T>::size);
    LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) sum += (double)to_float(a.v[j]) * to_float(a.v[j]);
  }
  for (i64 i = packs * Pack<T>::size + threadIdx.x; i < size; i += blockDim.x) sum += (double)to_float(x[i]) * to_float(x[i]);
  return sum;
}

// Each chunk's sum of squares, in its place of partial.
struct Summed {
  const void *x;
  i64 size, first, bytes; // bytes: of an element
};
KERNEL(sum_squares, (const Summed *list, int count, double *partial), {
  i64 begin, size;
  const Summed &l = owner(list, count, &begin, &size);
  double sum = l.bytes == 4 ? squares_of((const float *)l.x + begin, size) : squares_of((const bf16 *)l.x + begin, size);
  sum = block_total(sum);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
})

// The clip that follows from the chunks' sums: the norm is to be `most` at most, where that is not 0; without a norm that is a number there is no update. One block.
KERNEL(clip, (Clip *clip, const double *partial, i64 count, float most), {
  double sum = 0;
  for (i64 i = threadIdx.x; i < count; i += blockDim.x) sum += partial[i];
  sum = block_total(sum);
  if (threadIdx.x) return;
  double norm = sqrt(sum);
  clip->squares = sum;
  clip->apply = norm - norm == 0; // not of NaN, nor of infinity
  clip->scale = most > 0.f && norm > most ? (float)(most / (norm + 1e-6)) : 1.f;
})

// Muon, on matrices of n elements each, number blockIdx.y of a list. First the momentum, m = momentum m + scale g, and each block's share of |u|², u =
// scale g + momentum m.
struct Matrix {
  float *p, *m;
  const float *g;
  bf16 *narrow; // may be null
  float momentum, rate, keep, unused;
};
KERNEL(muon_momentum, (const Matrix *list, double *partial, const Clip *clip, i64 n), {
  if (!clip->apply) return;
  Matrix a = list[blockIdx.y];
  float scale = clip->scale;
  double sum = 0;
  for (i64 i = first_element(); i < n; i += element_stride()) {
    float d = scale * a.g[i];
    float next = a.momentum * a.m[i] + d;
    float u = d + a.momentum * next;
    a.m[i] = next;
    sum += (double)u * u;
  }
  sum = block_total(sum);
  if (threadIdx.x == 0) partial[(i64)blockIdx.y * gridDim.x + blockIdx.x] = sum;
})

// Then x = u / (|u| + 1e-7), from the new momentum and the partial sums.
template <class T> DEVICE void muon_direction(T *x, const Matrix *list, const double *partial, int partials, const Clip *clip, i64 n) {
  Matrix a = list[blockIdx.y];
  double sum = 0;
  for (int i = threadIdx.x; i < partials; i += blockDim.x) sum += partial[(i64)blockIdx.y * partials + i];
  float scale = clip->scale, factor = (float)(1 / (sqrt(block_total(sum)) + 1e-7));
  for (i64 i = first_element(); i < n; i += element_stride()) from_float(x + blockIdx.y * n + i, clip->apply ? factor * (scale * a.g[i] + a.momentum * a.m[i]) : 0.f);
}
KERNELS(muon_direction, (T *x, const Matrix *list, const double *partial, int partials, const Clip *clip, i64 n), (x, list, partial, partials, clip, n))

// Last p = keep p - rate o.
template <class T> DEVICE void muon_update(const Matrix *list, const T *o, const Clip *clip, i64 n) {
  Matrix a = list[blockIdx.y];
  bool apply = clip->apply;
  for (i64 i = first_element(); i < n; i += element_stride()) {
    Floats<1> w{{apply ? a.keep * a.p[i] - a.rate * to_float(o[blockIdx.y * n + i]) : a.p[i]}};
    write(a.p + i, w);
    narrow_copy(a.narrow, i, w);
  }
}
KERNELS(muon_update, (const Matrix *list, const T *o, const Clip *clip, i64 n), (list, o, clip, n))
