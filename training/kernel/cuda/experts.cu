// Tokens to their experts and back. A plan is ends (experts + 1), slots, rows and experts (tokens active each): see device.Routing.
#include "activation.cuh"
#include "rows.cuh"

constexpr double least = -1.7976931348623157e308, taken = -INFINITY;

// Each warp chooses the experts of a token by score, in doubles as the CPU does, and writes them in ascending order. The block needs `experts` doubles a warp.
KERNEL(route, (int *chosen, const float *logits, const float *balance, i64 tokens, int active, int experts), {
  DYNAMIC_SHARED(double, shared);
  int lane = threadIdx.x & 31;
  i64 t = first_element() >> 5;
  if (t >= tokens) return;
  double *scores = shared + (threadIdx.x >> 5) * experts;
  for (int e = lane; e < experts; e += 32) {
    double s = 1 / (1 + exp(-(double)logits[t * experts + e])) + (double)balance[e];
    scores[e] = s >= least ? s : least; // a NaN is chosen last, and shows in the loss
  }
  for (int k = 0; k < active; k++) {
    double best = taken;
    int at = experts;
    for (int e = lane; e < experts; e += 32)
      if (scores[e] > best) best = scores[e], at = e;
    for (int o = 16; o > 0; o >>= 1) {
      double other = __shfl_xor_sync(0xffffffffu, best, o);
      int e = __shfl_xor_sync(0xffffffffu, at, o);
      if (other > best || (other == best && e < at)) best = other, at = e;
    }
    if (at % 32 == lane) scores[at] = taken;
  }
  __syncwarp();
  int n = 0;
  for (int e = 0; e < experts; e += 32) {
    int own = e + lane < experts && scores[e + lane] == taken;
    u32 all = __ballot_sync(0xffffffffu, own);
    if (own) chosen[t * active + n + __popc(all & ((1u << lane) - 1))] = e + lane;
    n += __popc(all);
  }
})

// The rows of slots that are sorted by expert, and the experts' ends.
KERNEL(route_groups, (int *ends, int *rows, const int *slots, const int *chosen, i64 n, int experts), {
  for (i64 r = first_element(); r < n; r += element_stride()) {
    rows[slots[r]] = (int)r;
    int e = chosen[slots[r]], before = r > 0 ? chosen[slots[r - 1]] : -1;
    for (int x = before + 1; x <= e; x++) ends[x] = (int)r;
    if (r == n - 1)
      for (int x = e + 1; x <= experts; x++) ends[x] = (int)n;
  }
})

constexpr float gate_floor = 1e-20f; // keeps a sum of affinities that are all 0 from dividing

KERNEL(gate, (float *weights, const float *logits, const int *chosen, float scale, i64 tokens, int active, int experts), {
  for (i64 t = first_element(); t < tokens; t += element_stride()) {
    float sum = gate_floor;
    for (int j = 0; j < active; j++) sum += sigmoid(logits[t * experts + chosen[t * active + j]]);
    for (int j = 0; j < active; j++) weights[t * active + j] = scale * sigmoid(logits[t * experts + chosen[t * active + j]]) / sum;
  }
})

// A warp has a token.
KERNEL(gate_backward, (float *dlogits, const float *logits, const float *dweights, const int *chosen, float scale, i64 tokens, int active, int experts, int accumulate), {
  int lane = threadIdx.x & 31;
  i64 t = first_element() >> 5;
  if (t >= tokens) return;
  const float *l = logits + t * experts;
  float *d = dlogits + t * experts;
  if (!accumulate)
    for (int e = lane; e < experts; e += 32) d[e] = 0.f;
  float sum = 0.f, dot = 0.f;
  for (int j = lane; j < active; j += 32) {
    float s = sigmoid(l[chosen[t * active + j]]);
    sum += s;
    dot += s * dweights[t * active + j];
  }
  sum = warp_sum(sum) + gate_floor;
  dot = warp_sum(dot);
  __syncwarp();
  for (int j = lane; j < active; j += 32) {
    int e = chosen[t * active + j];
    float s = sigmoid(l[e]);
    d[e] += scale / sum * (dweights[t * active + j] - dot / sum) * s * (1.f - s);
  }
})

// Row r of y is the token of slot slots[r], times its weight.
template <class T> DEVICE void dispatch(T *y, const T *x, const float *weights, const int *slots, i64 rows, int active, i64 cols) {
  bool whole = packed(y, cols) && packed(x, cols);
  each_part(rows, cols, [=](i64 r, i64 c, int n) {
    int s = slots[r];
    float v[part], w = weights ? weights[s] : 1.f;
    load(v, x + (i64)(s / active) * cols + c, n, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) v[j] *= w;
    store(y + r * cols + c, v, n, whole);
  });
}
KERNELS(dispatch, (T *y, const T *x, const float *weights, const int *slots, i64 rows, int active, i64 cols), (y, x, weights, slots, rows, active, cols))

// Token t of y (+)= the rows of its slots, weighted, in the order of slots.
template <class T>
DEVICE void combine(T *y, const T *x, const float *weights, const int *rows, i64 tokens, int active, i64 cols, int accumulate) {
  bool whole = packed(y, cols) && packed(x, cols);
  each_part(tokens, cols, [=](i64 t, i64 c, int n) {
    float sum[part] = {};
    if (accumulate) load(sum, y + t * cols + c, n, whole);
    for (int j = 0; j < active; j++) {
      i64 s = t * active + j;
      float v[part], w = weights ? weights[s] : 1.f;
      load(v, x + rows[s] * cols + c, n, whole);
      LOOP_UNROLLED for (int k = 0; k < part; k++) sum[k] += w * v[k];
    }
    store(y + t * cols + c, sum, n, whole);
  });
}
KERNELS(combine, (T *y, const T *x, const float *weights, const int *rows, i64 tokens, int active, i64 cols, int accumulate),
        (y, x, weights, rows, tokens, active, cols, accumulate))

// dweights[slot] (+)= dy[token] . x[row]; a warp has a slot.
template <class T>
DEVICE void combine_dot(float *dweights, const T *x, const T *dy, const int *rows, i64 slots, int active, i64 cols, int accumulate) {
  i64 s = first_element() >> 5;
  if (s >= slots) return;
  bool whole = packed(dy, cols) && packed(x, cols);
  const T *a = dy + s / active * cols, *b = x + rows[s] * cols;
  float sum = 0.f;
  for (i64 c = (threadIdx.x & 31) * part; c < cols; c += 32 * part) {
    int n = (int)min((i64)part, cols - c);
    float v[part], w[part];
    load(v, a + c, n, whole);
    load(w, b + c, n, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) sum += v[j] * w[j];
  }
  sum = warp_sum(sum);
  if ((threadIdx.x & 31) == 0) put(dweights + s, sum, accumulate);
}
KERNELS(combine_dot, (float *dweights, const T *x, const T *dy, const int *rows, i64 slots, int active, i64 cols, int accumulate),
        (dweights, x, dy, rows, slots, active, cols, accumulate))
