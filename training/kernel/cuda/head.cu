// Language heads: what follows the product that makes a block of logits, float32. The columns of a row are cut into parts, so that a few long rows
// occupy the whole device: each block of threads leaves what it sums up of a part, and a warp per row puts the parts together. Gradients are
// of type T, and may be where the logits are if that is float. Where a target is no class, the loss is NaN.
#include "softmax.cuh"

// Logits are rows, cut into parts of `span` columns, at most 32.
struct Logits {
  int rows, classes, span, even;

  MEMBER int parts() const { return (classes + span - 1) / span; }
};

// parts_by calls f(row, part, start, share) for the parts that a block of threads has: start is that of the part among all logits.
template <int N, class F> DEVICE void parts_by(const Logits &l, F f) {
  int parts = l.parts();
  for (int i = blockIdx.x; i < l.rows * parts; i += gridDim.x) {
    int row = i / parts, from = i % parts * l.span;
    f(row, i, (i64)row * l.classes + from, Share<N, 8 / N>{(int)threadIdx.x, (int)blockDim.x, min(l.span, l.classes - from)});
  }
}
template <class F> DEVICE void each_part(const Logits &l, F f) {
  if (l.even)
    parts_by<4>(l, f);
  else
    parts_by<1>(l, f);
}

// each_row calls f(row) in a warp for each row.
template <class F> DEVICE void each_row(const Logits &l, F f) {
  int warps = gridDim.x * (blockDim.x / 32);
  for (int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32; row < l.rows; row += warps) f(row);
}

// Sums are what is known of a part, or of a row: the exponentials of one distribution, or of the student's and the teacher's, and one sum more.
struct Sums {
  Exponentials p, q;
  float more;
};

// mine is what the warp's lane knows: a part of the row, or nothing.
DEVICE Sums mine(const Logits &l, const Sums *parts, int row) {
  int lane = threadIdx.x & 31, n = l.parts();
  Sums s = {{}, {}, 0.f};
  if (lane < n) s = parts[row * n + lane];
  return s;
}
DEVICE bool leads() { return (threadIdx.x & 31) == 0; }

// logit is that of the target.
DEVICE float logit(const Logits &l, const float *x, int row, int target) {
  return (u32)target < (u32)l.classes ? x[(i64)row * l.classes + target] : NAN;
}

// more = Σ x, if it is wanted.
KERNEL(head_cross_entropy, (int rows, int classes, int span, int even, Sums *parts, const float *logits, const int *targets, int smoothed), {
  SHARED(float, exchange, Group::exchange_floats);
  Group g(blockDim.x / 32, exchange);
  each_part({rows, classes, span, even}, [&](int row, int part, i64 start, auto s) {
    constexpr int M = decltype(s)::M;
    if (targets[row] == ignore_index) return;
    Exponentials e;
    float sums[2] = {0.f, 0.f};
    for (int k = 0; k < s.steps(); k++) {
      float z[M];
      s.load(z, logits + start, k, -INFINITY);
      e.add(z);
      if (!smoothed) continue;
      LOOP_UNROLLED for (int i = 0; i < M; i++) sums[1] += s.has(k, i) ? z[i] : 0.f;
    }
    e.reach(g.max(e.top));
    sums[0] = e.sum;
    g.sum(sums);
    if (threadIdx.x == 0) parts[part] = {{e.top, sums[0]}, {}, sums[1]};
  });
})

KERNEL(head_cross_entropy_end,
       (int rows, int classes, int span, int even, const Sums *parts, const float *logits, const int *targets, float smoothing, float *losses, float *log_sums), {
         Logits l = {rows, classes, span, even};
         each_row(l, [&](int row) {
           int t = targets[row];
           float loss = 0.f, log_sum = 0.f;
           if (t != ignore_index) {
             Sums a = mine(l, parts, row);
             a.p.reach(warp_max(a.p.top));
             float sum = logf(warp_sum(a.p.sum)), mean = warp_sum(a.more) / classes;
             loss = sum + (1.f - smoothing) * (a.p.top - logit(l, logits, row, t)) + (smoothing != 0.f ? smoothing * (a.p.top - mean) : 0.f);
             log_sum = a.p.top + sum;
           }
           if (!leads()) return;
           losses[row] = loss;
           log_sums[row] = log_sum;
         });
       })

// dlogits = (p - (1 - smoothing) onehot - smoothing / classes) dmean / counted
template <class T>
DEVICE void head_cross_entropy_backward(const Logits &l, T *dlogits, const float *logits, const int *targets, const float *log_sums, float smoothing,
                                        const float *dmean, const int *counted) {
  float scale = *dmean / max(1, *counted), rest = scale * smoothing / l.classes;
  each_part(l, [&](int row, int, i64 start, auto s) {
    constexpr int M = decltype(s)::M;
    int t = targets[row], at = t - (int)(start - (i64)row * l.classes);
    float log_sum = log_sums[row];
    for (int k = 0; k < s.steps(); k++) {
      float v[M];
      s.load(v, logits + start, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        v[i] = fast_exp(v[i] - log_sum) * scale - rest;
        if (s.at(k, i) == at) v[i] -= scale * (1.f - smoothing);
        if (t == ignore_index) v[i] = 0.f;
      }
      s.store(dlogits + start, k, v);
    }
  });
}
KERNELS(head_cross_entropy_backward,
        (int rows, int classes, int span, int even, T *dlogits, const float *logits, const int *targets, const float *log_sums, float smoothing,
         const float *dmean, const int *counted),
        ({rows, classes, span, even}, dlogits, logits, targets, log_sums, smoothing, dmean, counted))

// With z = x / temperature: more = Σ exp(z - top) (z - top), which is no difference of large numbers.
KERNEL(head_log_probs, (int rows, int classes, int span, int even, Sums *parts, const float *logits, const int *targets, float inverse), {
  SHARED(float, exchange, Group::exchange_floats);
  Group g(blockDim.x / 32, exchange);
  each_part({rows, classes, span, even}, [&](int row, int part, i64 start, auto s) {
    constexpr int M = decltype(s)::M;
    if (targets[row] == ignore_index) return;
    Exponentials e;
    float more = 0.f;
    auto reach = [&](float top) {
      Step by = e.reach(top);
      more = more * by.factor - by.by * e.sum;
    };
    for (int k = 0; k < s.steps(); k++) {
      float z[M];
      s.load(z, logits + start, k, -INFINITY);
      LOOP_UNROLLED for (int i = 0; i < M; i++) z[i] *= inverse;
      reach(e.largest(z));
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        float d = z[i] - e.top, x = fast_exp(d);
        e.sum += x;
        more += x > 0.f ? x * d : 0.f;
      }
    }
    reach(g.max(e.top));
    float sums[2] = {e.sum, more};
    g.sum(sums);
    if (threadIdx.x == 0) parts[part] = {{e.top, sums[0]}, {}, sums[1]};
  });
})

KERNEL(head_log_probs_end,
       (int rows, int classes, int span, int even, const Sums *parts, const float *logits, const int *targets, float inverse, float *y, float *log_sums), {
         Logits l = {rows, classes, span, even};
         each_row(l, [&](int row) {
           int t = targets[row];
           float log_prob = 0.f, entropy = 0.f, log_sum = 0.f;
           if (t != ignore_index) {
             Sums a = mine(l, parts, row);
             Step by = a.p.reach(warp_max(a.p.top));
             float more = warp_sum(a.more * by.factor - by.by * a.p.sum), sum = warp_sum(a.p.sum), log = logf(sum);
             log_prob = logit(l, logits, row, t) * inverse - a.p.top - log;
             entropy = log - more / sum;
             log_sum = a.p.top + log;
           }
           if (!leads()) return;
           y[2 * (i64)row] = log_prob;
           y[2 * (i64)row + 1] = entropy;
           log_sums[row] = log_sum;
         });
       })

// dlogits = (g (onehot - p) - h p (log p + H)) / temperature, dy being (g, h) and y (log p of the target, H).
template <class T>
DEVICE void head_log_probs_backward(const Logits &l, T *dlogits, const float *logits, const int *targets, const float *log_sums, float inverse, const float *y,
                                    const float *dy) {
  each_part(l, [&](int row, int, i64 start, auto s) {
    constexpr int M = decltype(s)::M;
    int t = targets[row], at = t - (int)(start - (i64)row * l.classes);
    float log_sum = log_sums[row], g = dy[2 * (i64)row] * inverse, h = dy[2 * (i64)row + 1] * inverse, entropy = y[2 * (i64)row + 1];
    for (int k = 0; k < s.steps(); k++) {
      float v[M];
      s.load(v, logits + start, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        float log_p = v[i] * inverse - log_sum, p = fast_exp(log_p);
        v[i] = p > 0.f ? -p * (g + h * (log_p + entropy)) : 0.f;
        if (s.at(k, i) == at) v[i] += g;
        if (t == ignore_index) v[i] = 0.f;
      }
      s.store(dlogits + start, k, v);
    }
  });
}
KERNELS(head_log_probs_backward,
        (int rows, int classes, int span, int even, T *dlogits, const float *logits, const int *targets, const float *log_sums, float inverse,
         const float *y, const float *dy),
        ({rows, classes, span, even}, dlogits, logits, targets, log_sums, inverse, y, dy))

// With x the student's and z the teacher's logits over the temperature, less the largest of each: more = Σ exp(z) (z - x).
KERNEL(head_divergence, (int rows, int classes, int span, int even, Sums *parts, const float *student, const float *teacher, const int *targets, float inverse), {
  SHARED(float, exchange, Group::exchange_floats);
  Group g(blockDim.x / 32, exchange);
  each_part({rows, classes, span, even}, [&](int row, int part, i64 start, auto s) {
    constexpr int M = decltype(s)::M;
    if (targets[row] == ignore_index) return;
    Exponentials p, q;
    float more = 0.f;
    auto reach = [&](float top_p, float top_q) {
      Step by_p = p.reach(top_p), by_q = q.reach(top_q);
      more = more * by_q.factor + (by_p.by - by_q.by) * q.sum;
    };
    for (int k = 0; k < s.steps(); k++) {
      float x[M], z[M];
      s.load(x, student + start, k, -INFINITY);
      s.load(z, teacher + start, k, -INFINITY);
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        x[i] *= inverse;
        z[i] *= inverse;
      }
      reach(p.largest(x), q.largest(z));
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        float a = x[i] - p.top, b = z[i] - q.top, e = fast_exp(b);
        p.sum += fast_exp(a);
        q.sum += e;
        more += e > 0.f ? e * (b - a) : 0.f;
      }
    }
    reach(g.max(p.top), g.max(q.top));
    float sums[3] = {p.sum, q.sum, more};
    g.sum(sums);
    if (threadIdx.x == 0) parts[part] = {{p.top, sums[0]}, {q.top, sums[1]}, sums[2]};
  });
})

// log_sums receives the student's and the teacher's; losses may be null.
KERNEL(head_divergence_end, (int rows, int classes, int span, int even, const Sums *parts, const int *targets, float *losses, float *log_sums), {
  Logits l = {rows, classes, span, even};
  each_row(l, [&](int row) {
    float loss = 0.f, log_p = 0.f, log_q = 0.f;
    if (targets[row] != ignore_index) {
      Sums a = mine(l, parts, row);
      Step by_p = a.p.reach(warp_max(a.p.top)), by_q = a.q.reach(warp_max(a.q.top));
      float more = warp_sum(a.more * by_q.factor + (by_p.by - by_q.by) * a.q.sum), p = warp_sum(a.p.sum), q = warp_sum(a.q.sum);
      loss = more / q + logf(p / q);
      log_p = a.p.top + logf(p);
      log_q = a.q.top + logf(q);
    }
    if (!leads()) return;
    if (losses) losses[row] = loss;
    log_sums[2 * (i64)row] = log_p;
    log_sums[2 * (i64)row + 1] = log_q;
  });
})

// dlogits = (p - q) dmean / (temperature counted)
template <class T>
DEVICE void head_divergence_backward(const Logits &l, T *dlogits, const float *student, const float *teacher, const int *targets, const float *log_sums,
                                     float inverse, const float *dmean, const int *counted) {
  float scale = *dmean * inverse / max(1, *counted);
  each_part(l, [&](int row, int, i64 start, auto s) {
    constexpr int M = decltype(s)::M;
    float log_p = log_sums[2 * (i64)row], log_q = log_sums[2 * (i64)row + 1], g = targets[row] == ignore_index ? 0.f : scale;
    for (int k = 0; k < s.steps(); k++) {
      float x[M], z[M];
      s.load(x, student + start, k, 0.f);
      s.load(z, teacher + start, k, 0.f);
      LOOP_UNROLLED for (int i = 0; i < M; i++) {
        x[i] = g * (fast_exp(x[i] * inverse - log_p) - fast_exp(z[i] * inverse - log_q));
        if (g == 0.f) x[i] = 0.f;
      }
      s.store(dlogits + start, k, x);
    }
  });
}
KERNELS(head_divergence_backward,
        (int rows, int classes, int span, int even, T *dlogits, const float *student, const float *teacher, const int *targets, const float *log_sums,
         float inverse, const float *dmean, const int *counted),
        ({rows, classes, span, even}, dlogits, student, teacher, targets, log_sums, inverse, dmean, counted))
