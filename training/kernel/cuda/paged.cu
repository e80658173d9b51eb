// Keys and values in pages, and attention over them, for generation (PagedAttention, Kwon et al. 2023; split over keys as in Flash-Decoding, Dao et al. 2023).
#include "device.cuh"

// One thread for every 16 bytes, or for every element where rows are not aligned.
template <class T>
DEVICE void paged_store(T *keys, T *values, const T *kv, const int *slots, int rows, i64 ld, int offset_k, int offset_v, int page, int heads, int d) {
  i64 width = (i64)heads * d;
  for (i64 i = first_element(); i < rows * width; i += element_stride()) {
    i64 r = i / width, c = i % width, head = c / d;
    i64 to = (((i64)(slots[r] / page) * heads + head) * page + slots[r] % page) * d + c % d;
    keys[to] = kv[r * ld + offset_k + c];
    values[to] = kv[r * ld + offset_v + c];
  }
}
KERNELS(paged_store, (T *keys, T *values, const T *kv, const int *slots, int rows, i64 ld, int offset_k, int offset_v, int page, int heads, int d),
        (keys, values, kv, slots, rows, ld, offset_k, offset_v, page, heads, d))

constexpr int paged_group = 8, paged_lane = 8; // query heads of a block, elements of a vector that a lane holds

// Elements [at, at + 8) of a vector of d, of which none are read from d on.
template <class T> DEVICE void paged_read(float *to, const T *vector, int at, int d) {
  if (d % paged_lane == 0) { // 16 bytes of bf16, or twice of float
    if (at < d) {
      Pack<T> p[paged_lane / Pack<T>::size];
      LOOP_UNROLLED for (int i = 0; i < paged_lane / Pack<T>::size; i++) p[i] = ((const Pack<T> *)(vector + at))[i];
      LOOP_UNROLLED for (int e = 0; e < paged_lane; e++) to[e] = to_float(p[e / Pack<T>::size].v[e % Pack<T>::size]);
      return;
    }
  }
  LOOP_UNROLLED for (int e = 0; e < paged_lane; e++) to[e] = at + e < d ? to_float(vector[at + e]) : 0.f;
}

// The queries of one row that use one key head, in groups of at most paged_group, against the keys [split span, (split+1) span).
//
// A team of `lanes` lanes takes every teams-th key: each lane holds 8 elements of every vector (16 bytes of bf16), the score is summed over the team, and
// each team keeps a running maximum m, sum l and output o of its own. They are merged in the order of the teams. With one split the result is o / l; else o, m and l of
// the split go to `parts`, (rows, H, splits, D + 2), for paged_merge.
template <class T>
DEVICE void paged_attention(T *o, float *parts, const T *q, const T *keys, const T *values, const int *table, const int *sequence, const int *visible, i64 ldq,
                            int table_pages, int page, int kv_heads, int heads, int d, int lanes, int span, int splits, float scale) {
  DYNAMIC_SHARED(float, shared); // (teams, paged_group, D + 2)
  constexpr int E = paged_lane;
  int row = blockIdx.x, split = blockIdx.z, group = heads / kv_heads, groups = (group + paged_group - 1) / paged_group;
  int kv = blockIdx.y / groups, first = kv * group + blockIdx.y % groups * paged_group, n = min(paged_group, kv * group + group - first);
  int team = threadIdx.x / lanes, lane = threadIdx.x % lanes, teams = blockDim.x / lanes, at = lane * E;
  float query[paged_group][E], out[paged_group][E], most[paged_group], sum[paged_group];
  LOOP_UNROLLED for (int g = 0; g < paged_group; g++) {
    most[g] = -INFINITY;
    sum[g] = 0;
    LOOP_UNROLLED for (int e = 0; e < E; e++) {
      query[g][e] = g < n && at + e < d ? to_float(q[row * ldq + (first + g) * d + at + e]) * scale : 0.f;
      out[g][e] = 0;
    }
  }
  const int *pages = table + (i64)sequence[row] * table_pages;
  int from = split * span, to = min(visible[row], from + span);
  for (int key = from + team; key - team < to; key += teams) { // all lanes of a warp go round together
    float k[E] = {}, v[E] = {};
    bool in = key < to;
    if (in) {
      i64 base = (((i64)pages[key / page] * kv_heads + kv) * page + key % page) * d;
      paged_read(k, keys + base, at, d);
      paged_read(v, values + base, at, d);
    }
    LOOP_UNROLLED for (int g = 0; g < paged_group; g++) {
      if (g >= n) break;
      float s = 0;
      LOOP_UNROLLED for (int e = 0; e < E; e++) s += query[g][e] * k[e];
      for (int x = lanes / 2; x > 0; x >>= 1) s += __shfl_xor_sync(0xffffffffu, s, x);
      if (!in) continue;
      float higher = fmaxf(most[g], s), shrink = fast_exp(most[g] - higher), p = fast_exp(s - higher);
      most[g] = higher;
      sum[g] = sum[g] * shrink + p;
      LOOP_UNROLLED for (int e = 0; e < E; e++) out[g][e] = out[g][e] * shrink + p * v[e];
    }
  }
  int size = d + 2;
  LOOP_UNROLLED for (int g = 0; g < paged_group; g++) {
    if (g >= n) break;
    float *mine = shared + (team * paged_group + g) * size;
    LOOP_UNROLLED for (int e = 0; e < E; e++)
      if (at + e < d) mine[at + e] = out[g][e];
    if (lane == 0) mine[d] = most[g], mine[d + 1] = sum[g];
  }
  __syncthreads();
  for (int i = threadIdx.x; i < n * d; i += blockDim.x) {
    int g = i / d, c = i % d;
    float higher = -INFINITY, total = 0, x = 0;
    for (int t = 0; t < teams; t++) higher = fmaxf(higher, shared[(t * paged_group + g) * size + d]);
    for (int t = 0; t < teams; t++) {
      const float *its = shared + (t * paged_group + g) * size;
      float w = higher == -INFINITY ? 0.f : fast_exp(its[d] - higher);
      total += w * its[d + 1];
      x += w * its[c];
    }
    if (splits == 1) {
      from_float(o + ((i64)row * heads + first + g) * d + c, x / total);
      continue;
    }
    float *part = parts + (((i64)row * heads + first + g) * splits + split) * size;
    part[c] = x;
    if (c == 0) part[d] = higher, part[d + 1] = total;
  }
}
KERNELS(paged_attention,
        (T *o, float *parts, const T *q, const T *keys, const T *values, const int *table, const int *sequence, const int *visible, i64 ldq, int table_pages,
         int page, int kv_heads, int heads, int d, int lanes, int span, int splits, float scale),
        (o, parts, q, keys, values, table, sequence, visible, ldq, table_pages, page, kv_heads, heads, d, lanes, span, splits, scale))

// The splits of one head of one row, in their order. A split that the row does not reach has the sum 0.
template <class T> DEVICE void paged_merge(T *o, const float *parts, int splits, int d) {
  const float *mine = parts + (i64)blockIdx.x * splits * (d + 2);
  float higher = -INFINITY;
  for (int s = 0; s < splits; s++) higher = fmaxf(higher, mine[s * (d + 2) + d]);
  for (int c = threadIdx.x; c < d; c += blockDim.x) {
    float total = 0, x = 0;
    for (int s = 0; s < splits; s++) {
      const float *its = mine + s * (d + 2);
      float w = its[d] == -INFINITY ? 0.f : fast_exp(its[d] - higher);
      total += w * its[d + 1];
      x += w * its[c];
    }
    from_float(o + (i64)blockIdx.x * d + c, x / total);
  }
}
KERNELS(paged_merge, (T *o, const float *parts, int splits, int d), (o, parts, splits, d))
