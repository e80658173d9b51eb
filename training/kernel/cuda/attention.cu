// o = softmax(scale q kᵀ + mask) v, and the logarithms of the sums of exponentials, by one pass over the keys with a running maximum and sum of each query.
#include "attention.cuh"

template <class T, int W> DEVICE void attention_forward(const Attention<T> &a) {
  typedef Tiles<T, W> Size;
  constexpr int M = Size::forward_parts, N = Size::forward_keys, stride = Size::stride;
  const int rows = blockDim.x / 32 * 16 * M;
  DYNAMIC_SHARED(T, memory);
  T *queries = memory, *streamed = queries + rows * stride; // of each stage the keys, then the values
  Range *ranges = (Range *)(streamed + a.stages * 2 * N * stride);

  const Block block = block_of(a, a.heads, true);
  const int first = block.tile * rows;
  for (int r = threadIdx.x; r < rows; r += blockDim.x) ranges[r] = keys_of(a, block.batch, min(first + r, a.queries - 1));
  __syncthreads();
  const int lane = threadIdx.x & 31, mine = threadIdx.x / 32 * 16 * M; // the warp's first row
  const Range all = limits_of(ranges, rows).outer;

  float sums[M][W / 8][4] = {}, top[2 * M], total[2 * M];
  LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) top[r] = -INFINITY, total[r] = 0.f;

  stream(
      all.lo, all.hi, N, a.stages,
      [&](int from, int stage) {
        if (from == all.lo) load<W>(queries, rows_of(a.q, again(block.batch), block.head, a.width), first, rows, a.queries);
        T *tile = streamed + stage * 2 * N * stride;
        load<W>(tile, rows_of(a.k, again(block.batch), again(block.head) / (a.heads / a.key_heads), a.width), from, N, all.hi);
        load<W>(tile + N * stride, rows_of(a.v, again(block.batch), again(block.head) / (a.heads / a.key_heads), a.width), from, N, all.hi);
      },
      [&](int from, int stage) {
        const Limits limits = limits_of(ranges + mine, 16 * M);
        if (block.tile * rows + mine >= a.queries || misses(limits, from, N)) return;
        const T *tile = streamed + stage * 2 * N * stride;
        const float scale = a.scale * log2e;
        float p[M][N / 8][4] = {};
        multiply_rows<W, M, N>(p, queries + mine * stride, tile);
        if (cuts(limits, from, N)) hide(p, ranges + mine, from);
        LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
          float most = top[r];
          LOOP_UNROLLED for (int n = 0; n < N / 8; n++) {
            LOOP_UNROLLED for (int e = 0; e < 2; e++) most = fmaxf(most, p[r / 2][n][r % 2 * 2 + e]);
          }
          most = quad_max(most);
          const float base = most == -INFINITY ? 0.f : most * scale, fade = fast_exp2(top[r] * scale - base);
          top[r] = most;
          float sum = total[r] * fade;
          LOOP_UNROLLED for (int n = 0; n < N / 8; n++) {
            LOOP_UNROLLED for (int e = 0; e < 2; e++) {
              float &x = p[r / 2][n][r % 2 * 2 + e];
              x = fast_exp2(x * scale - base);
              sum += x;
            }
          }
          total[r] = sum;
          LOOP_UNROLLED for (int n = 0; n < W / 8; n++) sums[r / 2][n][r % 2 * 2] *= fade, sums[r / 2][n][r % 2 * 2 + 1] *= fade;
        }
        multiply_columns<W, W>(sums, p, tile + N * stride);
      });

  LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
    const float sum = quad_sum(total[r]), factor = sum > 0.f ? 1.f / sum : 0.f;
    LOOP_UNROLLED for (int n = 0; n < W / 8; n++) sums[r / 2][n][r % 2 * 2] *= factor, sums[r / 2][n][r % 2 * 2 + 1] *= factor;
    const int t = first + mine + 8 * r + (lane >> 2);
    if (a.log_sums && t < a.queries && (lane & 3) == 0)
      a.log_sums[((i64)block.batch * a.heads + block.head) * a.queries + t] = sum > 0.f ? top[r] * a.scale + logf(sum) : -INFINITY;
  }
  store<W>(rows_of(a.o, block.batch, block.head, a.width), sums, first + mine, a.queries, 0, false);
}
OF_WIDTHS(attention_forward, (Attention<T> a), (a))
