// Normalised rows. A thread keeps what `held` says of a row in registers; the rest of wider rows is read again.
#include "row.cuh"

// held is the number of steps whose elements stay in registers: 16 elements, or 8 where each is an access of its own. The backend counts with them.
template <int N> constexpr int held = N > 1 ? 16 / N : 8;

enum Norm { LAYER, RMS, LENGTH };

template <class T> struct Forward {
  T *y;
  float *means, *scales;
  const T *x;
  const float *w, *b;
  i64 rows;
  int cols;
  float eps;
  int warps, even;
};

// y = (x - mean) scale w + b. The mean, of LAYER only, and squares about it are summed one after the other.
template <Norm kind, int N, class T> DEVICE void normalise(Forward<T> a, float *exchange) {
  constexpr int K = held<N>;
  Group g(a.warps, exchange);
  for (i64 first = g.first_row(); first < a.rows; first += g.stride()) {
    i64 row = first + g.index;
    bool live = row < a.rows;
    Share<N> s = {g.thread, g.threads, live ? a.cols : 0};
    const T *x = a.x + row * a.cols;
    T *y = a.y + row * a.cols;
    Few<T, N> xs[K];
    LOOP_UNROLLED for (int k = 0; k < K; k++) xs[k] = s.few(x, k, 0, 0.f);
    auto each = [&](auto f) {
      LOOP_UNROLLED for (int k = 0; k < K; k++) f(k, xs[k]);
      LOOP_ROLLED for (int k = K; k < s.steps(); k++) f(k, s.few(x, k, 0, 0.f));
    };
    float mean = 0.f, squares = 0.f;
    if (kind == LAYER) {
      float sum = 0.f;
      each([&](int, const Few<T, N> &f) { LOOP_UNROLLED for (int i = 0; i < N; i++) sum += to_float(f.v[i]); });
      mean = g.sum(sum) / a.cols;
    }
    each([&](int k, const Few<T, N> &f) {
      if (kind == LAYER && !s.has(k)) return;
      LOOP_UNROLLED for (int i = 0; i < N; i++) {
        float d = to_float(f.v[i]) - mean;
        squares += d * d;
      }
    });
    squares = g.sum(squares);
    float scale = kind == LENGTH ? 1.f / fmaxf(sqrtf(squares), a.eps) : 1.f / sqrtf(squares / a.cols + a.eps);
    if (live && g.thread == 0) {
      a.scales[row] = scale;
      if (kind == LAYER) a.means[row] = mean;
    }
    each([&](int k, const Few<T, N> &f) {
      float v[N], gain[N], bias[N];
      if (kind != LENGTH) s.load(gain, a.w, k, 0.f);
      if (kind == LAYER && a.b) s.load(bias, a.b, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < N; i++) {
        v[i] = (to_float(f.v[i]) - mean) * scale;
        if (kind != LENGTH) v[i] *= gain[i];
        if (kind == LAYER && a.b) v[i] += bias[i];
      }
      s.store(y, k, v);
    });
  }
}

template <Norm kind, class T> DEVICE void normalise(Forward<T> a) {
  SHARED(float, exchange, Group::exchange_floats);
  if (a.even)
    normalise<kind, Pack<T>::size>(a, exchange);
  else
    normalise<kind, 1>(a, exchange);
}

template <class T> DEVICE void layer_norm(Forward<T> a) { normalise<LAYER>(a); }
template <class T> DEVICE void rms_norm(Forward<T> a) { normalise<RMS>(a); }
template <class T> DEVICE void l2_normalize(Forward<T> a) { normalise<LENGTH>(a); }
ROW_KERNELS(layer_norm, (T *y, float *means, float *scales, const T *x, const float *w, const float *b, i64 rows, int cols, float eps, int warps, int even),
            (Forward<T>{y, means, scales, x, w, b, rows, cols, eps, warps, even}))
ROW_KERNELS(rms_norm, (T *y, float *scales, const T *x, const float *w, i64 rows, int cols, float eps, int warps, int even),
            (Forward<T>{y, 0, scales, x, w, 0, rows, cols, eps, warps, even}))
ROW_KERNELS(l2_normalize, (T *y, float *scales, const T *x, i64 rows, int cols, float eps, int warps, int even),
            (Forward<T>{y, 0, scales, x, 0, 0, rows, cols, eps, warps, even}))

template <class T> struct Backward {
  T *dx;                  // or null
  float *sums_w, *sums_b; // (blocks, cols) for add_columns, or null
  const T *x, *dy;        // LENGTH has y for x
  const float *w, *means, *scales;
  i64 rows;
  int cols;
  float limit; // of LENGTH: the scale of rows that are shorter than eps
  int warps, even, accumulate;
};

// Columns is what a thread has of the sums of a block's rows: in registers, and beyond them in the block's row of the sums.
template <int N, int K> struct Columns {
  float v[K][N];
  float *row; // null: nobody asks for them

  MEMBER Columns(float *sums, int cols) : row(sums ? sums + (i64)blockIdx.x * cols : 0) {
    LOOP_UNROLLED for (int k = 0; k < K; k++) LOOP_UNROLLED for (int i = 0; i < N; i++) v[k][i] = 0.f;
  }
  // finish adds up the groups of the block, which needs cols floats where there are several.
  MEMBER void finish(const Group &g, const Share<N> &s, float *shared) {
    if (!row) return;
    float *to = g.groups == 1 ? row : shared;
    for (int group = 0; group < g.groups; group++) {
      if (g.index == group) LOOP_UNROLLED for (int k = 0; k < K; k++) s.store(to, k, v[k], group > 0);
      if (g.groups > 1) __syncthreads();
    }
    if (g.groups == 1) return;
    for (int c = threadIdx.x; c < s.n; c += blockDim.x) row[c] = shared[c];
    __syncthreads();
  }
};

// LAYER and RMS: dx (+)= scale (dy w - mean(dy w) - n mean(dy w n)) with n = (x - mean) scale, where RMS has 0 for both means without n, and the
// sums of dy n and dy over the rows of each block. LENGTH: dx (+)= scale (dy - y Σ y dy), or scale dy where the length was below eps. One read of x and dy.
template <Norm kind, int N, class T> DEVICE void norm_backward(Backward<T> a, float *exchange, float *shared) {
  constexpr int K = held<N>;
  Group g(a.warps, exchange);
  Columns<N, K> dw(a.sums_w, a.cols), db(a.sums_b, a.cols);
  for (i64 first = g.first_row(); first < a.rows; first += g.stride()) {
    i64 row = first + g.index;
    bool live = row < a.rows;
    Share<N> s = {g.thread, g.threads, live ? a.cols : 0};
    const T *x = a.x + row * a.cols, *dy = a.dy + row * a.cols;
    Few<T, N> xs[K], dys[K];
    LOOP_UNROLLED for (int k = 0; k < K; k++) {
      xs[k] = s.few(x, k, 0, 0.f);
      dys[k] = s.few(dy, k, 0, 0.f);
    }
    float scale = live ? a.scales[row] : 0.f, mean = kind == LAYER && live ? a.means[row] : 0.f;
    float along[2] = {0.f, 0.f}; // of dy w, and of dy w n
    // gather adds to them and makes dy n and dy.
    auto gather = [&](int k, const Few<T, N> &f, const Few<T, N> &d, float(&n)[N], float(&e)[N]) {
      float gain[N];
      if (kind != LENGTH) s.load(gain, a.w, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < N; i++) {
        e[i] = to_float(d.v[i]);
        n[i] = kind == LENGTH ? to_float(f.v[i]) : (to_float(f.v[i]) - mean) * scale;
        float g = kind == LENGTH ? e[i] : e[i] * gain[i];
        along[0] += g;
        along[1] += g * n[i];
        n[i] *= e[i];
      }
    };
    float n[N], e[N];
    LOOP_UNROLLED for (int k = 0; k < K; k++) {
      gather(k, xs[k], dys[k], n, e);
      LOOP_UNROLLED for (int i = 0; i < N; i++) {
        if (kind != LENGTH) dw.v[k][i] += n[i];
        if (kind == LAYER) db.v[k][i] += e[i];
      }
    }
    LOOP_ROLLED for (int k = K; k < s.steps(); k++) {
      gather(k, s.few(x, k, 0, 0.f), s.few(dy, k, 0, 0.f), n, e);
      if (dw.row) s.store(dw.row, k, n, first != g.first_row());
      if (db.row) s.store(db.row, k, e, first != g.first_row());
    }
    if (!a.dx) continue;
    if (kind == LAYER)
      g.sum(along);
    else
      along[1] = g.sum(along[1]);
    float shift = kind == LAYER ? along[0] / a.cols : 0.f, slope = along[1] / a.cols;
    if (kind == LENGTH) slope = scale < a.limit ? along[1] : 0.f;
    auto write = [&](int k, const Few<T, N> &f, const Few<T, N> &d) {
      float v[N], gain[N];
      if (kind != LENGTH) s.load(gain, a.w, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < N; i++) {
        float n = kind == LENGTH ? to_float(f.v[i]) : (to_float(f.v[i]) - mean) * scale;
        v[i] = scale * (kind == LENGTH ? to_float(d.v[i]) - n * slope : to_float(d.v[i]) * gain[i] - shift - n * slope);
      }
      s.store(a.dx + row * a.cols, k, v, a.accumulate);
    };
    LOOP_UNROLLED for (int k = 0; k < K; k++) write(k, xs[k], dys[k]);
    LOOP_ROLLED for (int k = K; k < s.steps(); k++) write(k, s.few(x, k, 0, 0.f), s.few(dy, k, 0, 0.f));
  }
  if (kind == LENGTH) return;
  Share<N> all = {g.thread, g.threads, a.cols};
  dw.finish(g, all, shared);
  db.finish(g, all, shared);
}

template <Norm kind, class T> DEVICE void norm_backward(Backward<T> a) {
  SHARED(float, exchange, Group::exchange_floats);
  DYNAMIC_SHARED(float, shared);
  if (a.even)
    norm_backward<kind, Pack<T>::size>(a, exchange, shared);
  else
    norm_backward<kind, 1>(a, exchange, shared);
}

template <class T> DEVICE void layer_norm_backward(Backward<T> a) { norm_backward<LAYER>(a); }
template <class T> DEVICE void rms_norm_backward(Backward<T> a) { norm_backward<RMS>(a); }
template <class T> DEVICE void l2_normalize_backward(Backward<T> a) { norm_backward<LENGTH>(a); }
ROW_KERNELS(layer_norm_backward,
            (T *dx, float *sums_w, float *sums_b, const T *x, const T *dy, const float *w, const float *means, const float *scales, i64 rows,
             int cols, int warps, int even, int accumulate),
            (Backward<T>{dx, sums_w, sums_b, x, dy, w, means, scales, rows, cols, 0.f, warps, even, accumulate}))
ROW_KERNELS(rms_norm_backward,
            (T *dx, float *sums_w, const T *x, const T *dy, const float *w, const float *scales, i64 rows, int cols, int warps, int even, int accumulate),
            (Backward<T>{dx, sums_w, 0, x, dy, w, 0, scales, rows, cols, 0.f, warps, even, accumulate}))
ROW_KERNELS(l2_normalize_backward,
            (T *dx, const T *y, const T *dy, const float *inv, i64 rows, int cols, float limit, int warps, int even, int accumulate),
            (Backward<T>{dx, 0, 0, y, dy, 0, 0, inv, rows, cols, limit, warps, even, accumulate}))

// dst_w += the sums of the columns of sums_w (rows, cols), and so for b; either may be null. A block has 32 columns, each warp every eighth row.
KERNEL(add_columns, (float *dst_w, const float *sums_w, float *dst_b, const float *sums_b, int rows, int cols), {
  SHARED(float, parts, 8 * 32);
  float *dst = blockIdx.y ? dst_b : dst_w;
  const float *sums = blockIdx.y ? sums_b : sums_w;
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, c = blockIdx.x * 32 + lane;
  float sum = 0.f;
  if (dst && c < cols)
    for (int r = warp; r < rows; r += 8) sum += sums[(i64)r * cols + c];
  parts[threadIdx.x] = sum;
  __syncthreads();
  if (warp > 0 || !dst || c >= cols) return;
  for (int w = 1; w < 8; w++) sum += parts[w * 32 + lane];
  dst[c] += sum;
})
