// The gradients of attention, with probabilities computed again from the log-sums: p = exp(scale q k - log-sum), ds = p (do v - sum of o do),
// dv = pᵀ do, dk = scale dsᵀ q, dq = scale ds k. One kernel has a tile of queries in each block and makes dq, one a tile of keys and makes dk and dv, so that every
// sum has one owner and one order.
#include "attention.cuh"

// attention_statistics writes of each query the log-sum in bits, infinite where it saw no key, and the inner product of output and gradient. Eight lanes share a query.
template <class T> DEVICE void attention_statistics(const Attention<T> &a, const Gradients<T> &g) {
  const i64 units = (i64)a.batches * a.queries * a.heads;
  const int part = threadIdx.x & 7;
  for (i64 u = first_element() >> 3; u < (units + 3) / 4 * 4; u += element_stride() >> 3) { // whole warps
    const i64 unit = min(u, units - 1);
    const int h = unit % a.heads, t = unit / a.heads % a.queries, b = unit / a.heads / a.queries;
    const Rows<T> o = rows_of(a.o, b, h, a.width), d = rows_of(g.d_o, b, h, a.width);
    const T *x = row(o, t), *y = row(d, t);
    constexpr int size = Pack<T>::size;
    float sum = 0.f;
    if (o.packs && d.packs) {
      for (int c = part * size; c < a.width; c += 8 * size) {
        Pack<T> p = *(const Pack<T> *)(x + c), q = *(const Pack<T> *)(y + c);
        LOOP_UNROLLED for (int i = 0; i < size; i++) sum += to_float(p.v[i]) * to_float(q.v[i]);
      }
    } else {
      for (int c = part; c < a.width; c += 8) sum += to_float(x[c]) * to_float(y[c]);
    }
    LOOP_UNROLLED for (int lanes = 1; lanes < 8; lanes *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, lanes);
    if (part == 0 && u < units) {
      const i64 head = (i64)b * a.heads + h;
      const float log_sum = a.log_sums[head * a.queries + t];
      float *to = g.statistics + 2 * (head * g.stride + t);
      to[0] = log_sum == -INFINITY ? INFINITY : log_sum * log2e;
      to[1] = sum;
      if (t + 1 == a.queries && g.stride > a.queries) to[2] = INFINITY, to[3] = 0.f; // the other of a pair
    }
  }
}
KERNELS(attention_statistics, (Attention<T> a, Gradients<T> g), (a, g))

template <class T, int W> DEVICE void attention_backward_queries(const Attention<T> &a, const Gradients<T> &g) {
  typedef Tiles<T, W> Size;
  constexpr int M = Size::queries_parts, N = Size::queries_keys, stride = Size::stride;
  const int rows = blockDim.x / 32 * 16 * M;
  DYNAMIC_SHARED(T, memory);
  T *queries = memory, *d_outs = queries + rows * stride, *streamed = d_outs + rows * stride; // of each stage the keys, then the values
  Range *ranges = (Range *)(streamed + a.stages * 2 * N * stride);

  const Block block = block_of(a, a.heads, true);
  const int first = block.tile * rows, group = block.head / (a.heads / a.key_heads);
  for (int r = threadIdx.x; r < rows; r += blockDim.x) ranges[r] = keys_of(a, block.batch, min(first + r, a.queries - 1));
  __syncthreads();
  const int lane = threadIdx.x & 31, mine = threadIdx.x / 32 * 16 * M; // the warp's first row
  const Range all = limits_of(ranges, rows).outer;

  const float scale = a.scale * log2e;
  float sums[M][W / 8][4] = {}, log_sum[2 * M], along[2 * M];
  LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
    const int t = min(first + mine + 8 * r + (lane >> 2), a.queries - 1);
    const float *from = g.statistics + 2 * (((i64)block.batch * a.heads + block.head) * g.stride + t);
    log_sum[r] = from[0], along[r] = from[1];
  }

  stream(
      all.lo, all.hi, N, a.stages,
      [&](int from, int stage) {
        if (from == all.lo) {
          load<W>(queries, rows_of(a.q, block.batch, block.head, a.width), first, rows, a.queries);
          load<W>(d_outs, rows_of(g.d_o, block.batch, block.head, a.width), first, rows, a.queries);
        }
        T *tile = streamed + stage * 2 * N * stride;
        load<W>(tile, rows_of(a.k, again(block.batch), again(group), a.width), from, N, all.hi);
        load<W>(tile + N * stride, rows_of(a.v, again(block.batch), again(group), a.width), from, N, all.hi);
      },
      [&](int from, int stage) {
        const Limits limits = limits_of(ranges + mine, 16 * M);
        if (first + mine >= a.queries || misses(limits, from, N)) return;
        const T *tile = streamed + stage * 2 * N * stride;
        float p[M][N / 8][4] = {}, d[M][N / 8][4] = {};
        multiply_rows<W, M, N>(p, queries + mine * stride, tile);
        multiply_rows<W, M, N>(d, d_outs + mine * stride, tile + N * stride);
        if (cuts(limits, from, N)) hide(p, ranges + mine, from);
        LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
          LOOP_UNROLLED for (int n = 0; n < N / 8; n++) {
            LOOP_UNROLLED for (int i = r % 2 * 2; i < r % 2 * 2 + 2; i++) {
              float &x = d[r / 2][n][i];
              x = fast_exp2(p[r / 2][n][i] * scale - log_sum[r]) * (x - along[r]);
            }
          }
        }
        multiply_columns<W, W>(sums, d, tile);
      });

  LOOP_UNROLLED for (int m = 0; m < M; m++) {
    LOOP_UNROLLED for (int n = 0; n < W / 8; n++) {
      LOOP_UNROLLED for (int i = 0; i < 4; i++) sums[m][n][i] *= a.scale;
    }
  }
  store<W>(rows_of(g.dq, block.batch, block.head, a.width), sums, first + mine, a.queries, 0, g.accumulate);
}
OF_WIDTHS(attention_backward_queries, (Attention<T> a, Gradients<T> g), (a, g))

// The transposed scores have a row for each key, so that weights are where the products that make dv and dk take them from. The query heads of a key head, and their tiles of
// queries, come one after another. Blocks that differ in blockIdx.y make other columns.
template <class T, int W> DEVICE void attention_backward_keys(const Attention<T> &a, const Gradients<T> &g) {
  typedef Tiles<T, W> Size;
  constexpr int M = Size::keys_parts, N = Size::keys_queries, C = Size::keys_columns, stride = Size::stride;
  const int rows = blockDim.x / 32 * 16 * M, column = blockIdx.y * C;
  DYNAMIC_SHARED(T, memory);
  T *keys = memory, *values = keys + rows * stride, *streamed = values + rows * stride; // of each stage the queries, then the gradients of their outputs
  Pack<float> *statistics = (Pack<float> *)(streamed + a.stages * 2 * N * stride);      // of each stage, those of two queries each
  Range *ranges = (Range *)(statistics + a.stages * N / 2);

  const Block block = block_of(a, a.key_heads, false);
  const int first = block.tile * rows, group = a.heads / a.key_heads;
  const int seen = a.lengths ? min(a.keys, a.lengths[block.batch]) : a.keys; // keys from here on are hidden
  for (int r = threadIdx.x; r < rows; r += blockDim.x) {
    ranges[r] = first < seen ? queries_of(a, block.batch, min(first + r, seen - 1)) : Range{0, 0};
    if (first + r >= seen) ranges[r].lo = 0x7fffffff; // sees nothing
  }
  __syncthreads();
  const int lane = threadIdx.x & 31, mine = threadIdx.x / 32 * 16 * M; // the warp's first row
  const Range all = limits_of(ranges, rows).outer;

  const float scale = a.scale * log2e;
  const int start = all.lo & ~1, count = (all.hi - start + N - 1) / N; // tiles of queries; pairs of statistics are whole
  float dk[M][C / 8][4] = {}, dv[M][C / 8][4] = {};

  stream(
      0, max(count, 0) * group, 1, a.stages,
      [&](int i, int stage) {
        if (i == 0) {
          load<W>(keys, rows_of(a.k, block.batch, block.head, a.width), first, rows, seen);
          load<W>(values, rows_of(a.v, block.batch, block.head, a.width), first, rows, seen);
        }
        const int head = block.head * group + i / count, from = start + i % count * N;
        T *tile = streamed + stage * 2 * N * stride;
        load<W>(tile, rows_of(a.q, again(block.batch), head, a.width), from, N, all.hi);
        load<W>(tile + N * stride, rows_of(g.d_o, again(block.batch), head, a.width), from, N, all.hi);
        const float *of_head = g.statistics + 2 * ((i64)block.batch * a.heads + head) * g.stride;
        for (int r = threadIdx.x; r < N / 2; r += blockDim.x) {
          bool there = from + 2 * r < all.hi;
          copy_async(statistics + stage * N / 2 + r, there ? of_head + 2 * (from + 2 * r) : of_head, there);
        }
      },
      [&](int i, int stage) {
        const int from = start + i % count * N;
        const Limits limits = limits_of(ranges + mine, 16 * M);
        if (first + mine >= seen || misses(limits, from, N)) return;
        const T *tile = streamed + stage * 2 * N * stride;
        float p[M][N / 8][4] = {}, d[M][N / 8][4] = {};
        multiply_rows<W, M, N>(p, keys + mine * stride, tile);
        multiply_rows<W, M, N>(d, values + mine * stride, tile + N * stride);
        if (cuts(limits, from, N)) hide(p, ranges + mine, from);
        LOOP_UNROLLED for (int n = 0; n < N / 8; n++) {
          const Pack<float> two = statistics[stage * N / 2 + 4 * n + (lane & 3)]; // log-sum and inner product of this lane's two queries
          LOOP_UNROLLED for (int m = 0; m < M; m++) {
            LOOP_UNROLLED for (int i = 0; i < 4; i++) {
              float &x = p[m][n][i], &y = d[m][n][i];
              x = fast_exp2(x * scale - two.v[2 * (i % 2)]);
              y = x * (y - two.v[2 * (i % 2) + 1]);
            }
          }
        }
        multiply_columns<W, C>(dv, p, tile + N * stride + column);
        multiply_columns<W, C>(dk, d, tile + column);
      });

  LOOP_UNROLLED for (int m = 0; m < M; m++) {
    LOOP_UNROLLED for (int n = 0; n < C / 8; n++) {
      LOOP_UNROLLED for (int i = 0; i < 4; i++) dk[m][n][i] *= a.scale;
    }
  }
  store<C>(rows_of(g.dk, block.batch, block.head, a.width), dk, first + mine, a.keys, column, g.accumulate);
  store<C>(rows_of(g.dv, block.batch, block.head, a.width), dv, first + mine, a.keys, column, g.accumulate);
}
OF_WIDTHS(attention_backward_keys, (Attention<T> a, Gradients<T> g), (a, g))
