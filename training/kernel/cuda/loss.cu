// Losses of logits with their gradients, softmax, and draws. A group of warps has a row: one pass for its sum of exponentials, one for what
// depends on it, which finds the row in a cache. Where a target is no class, the loss is NaN.
#include "softmax.cuh"

// Rows are the arguments of all kernels whose rows are shared by groups.
template <class T> struct Rows {
  const T *x;
  i64 rows;
  int cols, warps, even;
};

template <class S, class T, class F> DEVICE void rows_by(const Rows<T> &a, Group &g, F f) {
  for (i64 first = g.first_row(); first < a.rows; first += g.stride()) {
    i64 row = first + g.index;
    f(g, row, S{g.thread, g.threads, row < a.rows ? a.cols : 0}, a.x + row * a.cols);
  }
}

// each_row calls f(group, row, share, x) for each row of a group. Where it has none left, the share is empty, and neither the row nor x may be used.
template <class T, class F> DEVICE void each_row(const Rows<T> &a, F f) {
  constexpr int N = Pack<T>::size;
  SHARED(float, exchange, Group::exchange_floats);
  Group g(a.warps, exchange);
  if (a.even)
    rows_by<Share<N, 2>>(a, g, f);
  else
    rows_by<Share<1, 8>>(a, g, f);
}

// exponentials sums up a row. All threads of its group get the result.
template <class S, class T> DEVICE Exponentials exponentials(Group &g, const S &s, const T *x) {
  Exponentials e;
  for (int k = 0; k < s.steps(); k++) {
    float z[S::M];
    s.load(z, x, k, -INFINITY);
    e.add(z);
  }
  e.reach(g.max(e.top));
  e.sum = g.sum(e.sum);
  return e;
}

// Loss: of a row with the target t, log Σ exp x - (1 - s) x_t - s mean(x); gradient (p - (1 - s) onehot - s / cols) / counted. dlogits may be null, or
// the logits.
template <class T>
DEVICE void cross_entropy(const Rows<T> &a, T *dlogits, float *losses, const int *targets, const int *counted, float smoothing) {
  each_row(a, [&](Group &g, i64 row, auto s, const T *x) {
    constexpr int M = decltype(s)::M;
    int t = s.n ? targets[row] : ignore_index;
    bool counts = t != ignore_index, first = s.n && g.thread == 0;
    decltype(s) read = {g.thread, g.threads, counts ? s.n : 0};
    Exponentials e;
    // of the exponentials, of the logits, and the target's logit: added up too, since the gradient may overwrite it
    float sums[3] = {0.f, 0.f, counts && first ? ((u32)t < (u32)a.cols ? to_float(x[t]) : NAN) : 0.f};
    for (int k = 0; k < read.steps(); k++) {
      float z[M];
      read.load(z, x, k, -INFINITY);
      e.add(z);
      if (smoothing == 0.f) continue;
      LOOP_UNROLLED for (int i = 0; i < M; i++) sums[1] += read.has(k, i) ? z[i] : 0.f;
    }
    e.reach(g.max(e.top));
    sums[0] = e.sum;
    g.sum(sums);
    if (first) losses[row] = counts ? logf(sums[0]) + (1.f - smoothing) * (e.top - sums[2]) + smoothing * (e.top - sums[1] / a.cols) : 0.f;
    if (!dlogits) return;
    float scale = 1.f / max(1, *counted), share = scale / sums[0], rest = scale * smoothing / a.cols;
    for (int k = 0; k < s.steps(); k++) {
      float v[M];
      read.load(v, x, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        v[i] = fast_exp(v[i] - e.top) * share - rest;
        if (s.at(k, i) == t) v[i] -= scale * (1.f - smoothing);
        if (!counts) v[i] = 0.f;
      }
      s.store(dlogits + row * a.cols, k, v);
    }
  });
}
ROW_KERNELS(cross_entropy,
            (const T *x, i64 rows, int cols, int warps, int even, T *dlogits, float *losses, const int *targets, const int *counted, float smoothing),
            (Rows<T>{x, rows, cols, warps, even}, dlogits, losses, targets, counted, smoothing))

// Loss: Σ q (log Σ exp x - x); gradient (p Σ q - q) / rows. dlogits may be null, or the logits.
template <class T, class S> DEVICE void soft_cross_entropy(const Rows<T> &a, T *dlogits, float *losses, const S *targets) {
  each_row(a, [&](Group &g, i64 row, auto s, const T *x) {
    constexpr int M = decltype(s)::M;
    const S *q = targets + row * a.cols;
    Exponentials e;
    float sums[3] = {0.f, 0.f, 0.f}; // of the exponentials, of q, of q (x - top)
    for (int k = 0; k < s.steps(); k++) {
      float z[M], w[M];
      s.load(z, x, k, -INFINITY);
      s.load(w, q, k, 0.f);
      sums[2] -= e.reach(e.largest(z)).by * sums[1];
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        e.sum += fast_exp(z[i] - e.top);
        sums[1] += w[i];
        sums[2] += w[i] != 0.f ? w[i] * (z[i] - e.top) : 0.f;
      }
    }
    sums[2] -= e.reach(g.max(e.top)).by * sums[1];
    sums[0] = e.sum;
    g.sum(sums);
    if (s.n && g.thread == 0) losses[row] = sums[1] * logf(sums[0]) - sums[2];
    if (!dlogits) return;
    float scale = 1.f / a.rows, share = scale * sums[1] / sums[0];
    for (int k = 0; k < s.steps(); k++) {
      float v[M], w[M];
      s.load(v, x, k, 0.f);
      s.load(w, q, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) v[i] = fast_exp(v[i] - e.top) * share - scale * w[i];
      s.store(dlogits + row * a.cols, k, v);
    }
  });
}
ROW_KERNELS(soft_cross_entropy, (const T *x, i64 rows, int cols, int warps, int even, T *dlogits, float *losses, const T *targets),
            (Rows<T>{x, rows, cols, warps, even}, dlogits, losses, targets))
// The same with targets in float32.
template <class T> DEVICE void exact_cross_entropy(const Rows<T> &a, T *dlogits, float *losses, const float *targets) {
  soft_cross_entropy(a, dlogits, losses, targets);
}
ROW_KERNELS(exact_cross_entropy, (const T *x, i64 rows, int cols, int warps, int even, T *dlogits, float *losses, const float *targets),
            (Rows<T>{x, rows, cols, warps, even}, dlogits, losses, targets))

// y = softmax(x), or its logarithm. y may be x.
template <class T> DEVICE void softmax(const Rows<T> &a, T *y, int log) {
  each_row(a, [&](Group &g, i64 row, auto s, const T *x) {
    constexpr int M = decltype(s)::M;
    Exponentials e = exponentials(g, s, x);
    float share = 1.f / e.sum, shift = logf(e.sum);
    for (int k = 0; k < s.steps(); k++) {
      float v[M];
      s.load(v, x, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) v[i] = log ? v[i] - e.top - shift : fast_exp(v[i] - e.top) * share;
      s.store(y + row * a.cols, k, v);
    }
  });
}
ROW_KERNELS(softmax, (const T *x, i64 rows, int cols, int warps, int even, T *y, int log), (Rows<T>{x, rows, cols, warps, even}, y, log))

// y = alpha softmax(x) + (1 - alpha) onehot, row r's being column r.
template <class T, class S> DEVICE void mix(const Rows<T> &a, S *y, const float *alpha) {
  each_row(a, [&](Group &g, i64 row, auto s, const T *x) {
    constexpr int M = decltype(s)::M;
    Exponentials e = exponentials(g, s, x);
    float share = *alpha / e.sum, rest = 1.f - *alpha;
    int own = row < a.cols ? (int)row : -1;
    for (int k = 0; k < s.steps(); k++) {
      float v[M];
      s.load(v, x, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) v[i] = fast_exp(v[i] - e.top) * share + (s.at(k, i) == own ? rest : 0.f);
      s.store(y + row * a.cols, k, v);
    }
  });
}
template <class T> DEVICE void mix_targets(const Rows<T> &a, T *y, const float *alpha) { mix(a, y, alpha); }
ROW_KERNELS(mix_targets, (const T *x, i64 rows, int cols, int warps, int even, T *y, const float *alpha), (Rows<T>{x, rows, cols, warps, even}, y, alpha))
// The same in float32.
template <class T> DEVICE void exact_mix_targets(const Rows<T> &a, float *y, const float *alpha) { mix(a, y, alpha); }
ROW_KERNELS(exact_mix_targets, (const T *x, i64 rows, int cols, int warps, int even, float *y, const float *alpha),
            (Rows<T>{x, rows, cols, warps, even}, y, alpha))

// Loss: Σ -log sigmoid(z x), z = 1 on the diagonal and -1 elsewhere; gradient -z sigmoid(-z x) / rows.
template <class T> DEVICE void siglip(const Rows<T> &a, T *dlogits, float *losses) {
  each_row(a, [&](Group &g, i64 row, auto s, const T *x) {
    constexpr int M = decltype(s)::M;
    float loss = 0.f;
    int own = (int)row;
    for (int k = 0; k < s.steps(); k++) {
      float v[M];
      s.load(v, x, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        float z = s.at(k, i) == own ? 1.f : -1.f, e = fast_exp(-fabsf(v[i]));
        if (s.has(k, i)) loss += fmaxf(-z * v[i], 0.f) + log1pf(e);
        v[i] = -z * (z * v[i] >= 0.f ? e : 1.f) / ((1.f + e) * a.rows);
      }
      if (dlogits) s.store(dlogits + row * a.cols, k, v);
    }
    loss = g.sum(loss);
    if (s.n && g.thread == 0) losses[row] = loss;
  });
}
ROW_KERNELS(siglip, (const T *x, i64 rows, int cols, int warps, int even, T *dlogits, float *losses), (Rows<T>{x, rows, cols, warps, even}, dlogits, losses))

// counted receives the number of targets that count. One block.
KERNEL(count_targets, (int *counted, const int *targets, i64 n), {
  SHARED(int, parts, 32);
  int count = 0;
  for (i64 i = threadIdx.x; i < n; i += blockDim.x) count += targets[i] != ignore_index;
  for (int o = 16; o > 0; o >>= 1) count += __shfl_xor_sync(0xffffffffu, count, o);
  if ((threadIdx.x & 31) == 0) parts[threadIdx.x >> 5] = count;
  __syncthreads();
  if (threadIdx.x) return;
  for (u32 w = 1; w < blockDim.x / 32; w++) count += parts[w];
  *counted = count;
})

// mean = Σ losses / counted, or / n where counted is null. One block, which adds in float64.
KERNEL(mean_loss, (float *mean, const float *losses, const int *counted, i64 n), {
  SHARED(double, parts, 1024);
  double sum = 0;
  for (i64 i = threadIdx.x; i < n; i += blockDim.x) sum += losses[i];
  parts[threadIdx.x] = sum;
  __syncthreads();
  for (u32 o = blockDim.x / 2; o > 0; o >>= 1) {
    if (threadIdx.x < o) parts[threadIdx.x] += parts[threadIdx.x + o];
    __syncthreads();
  }
  if (threadIdx.x == 0) *mean = float(parts[0] / (counted ? max(1, *counted) : n));
})

DEVICE double warp_total(double v) {
  for (int o = 16; o > 0; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}
DEVICE int warp_most(int v) {
  for (int o = 16; o > 0; o >>= 1) v = max(v, __shfl_xor_sync(0xffffffffu, v, o));
  return v;
}

// A warp draws a column for each of its rows. Weights and their sums are float64, so that a choice is the CPU's unless a draw meets a boundary to 1e-15.
template <class T> DEVICE void sample_negatives(int *index, const T *sim, const float *uniform, const int *groups, int n) {
  int lane = threadIdx.x & 31;
  for (int row = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < n; row += gridDim.x * (blockDim.x / 32)) {
    const T *x = sim + (i64)row * n;
    float top = -INFINITY;
    int others = 0; // columns of another group
    for (int c = lane; c < n; c += 32) {
      top = fmaxf(top, to_float(x[c]));
      others |= !groups || groups[c] != groups[row];
    }
    top = warp_max(top);
    others = warp_most(others);
    double sum = 0, total = 0;
    for (int c = lane; c < n; c += 32) sum += exp((double)to_float(x[c]) - top);
    sum = warp_total(sum);
    auto weight = [&](int c) {
      bool excluded = c >= n || c == row || (groups && others && groups[c] == groups[row]);
      return excluded ? 0. : exp((double)to_float(x[c]) - top) / sum + 1e-4;
    };
    for (int c = lane; c < n; c += 32) total += weight(c);
    double at = uniform[row] * warp_total(total), before = 0;
    int last = 0, found = -n; // the last column with a weight; minus the first whose cumulative weight exceeds
    for (int c = lane; c - lane < n && found == -n; c += 32) {
      double w = weight(c), upTo = w;
      for (int o = 1; o < 32; o <<= 1) {
        double lower = __shfl_up_sync(0xffffffffu, upTo, o);
        if (lane >= o) upTo += lower;
      }
      if (w > 0) last = c;
      found = warp_most(w > 0 && before + upTo > at ? -c : -n);
      before += __shfl_sync(0xffffffffu, upTo, 31);
    }
    last = warp_most(last);
    if (lane == 0) index[row] = found == -n ? last : -found;
  }
}
KERNELS(sample_negatives, (int *index, const T *sim, const float *uniform, const int *groups, int n), (index, sim, uniform, groups, n))
