// Attention in tiles (Dao 2023, FlashAttention-2): what the kernels of the forward and of the backward share.
//
// A block of up to four warps owns a tile of rows, queries or keys, that stays in shared memory, while tiles of the other side stream past: one is multiplied
// with while the next is copied. A warp owns 16 or 32 rows of the tile, and holds their scores and sums in registers, in the layout of mma.cuh: lane l has of
// each 16 x 8 part rows l / 4 and l / 4 + 8 at columns 2 (l % 4) and the next. bfloat16 is multiplied by matrix instructions; float by plain ones, in the same layout.
//
// Rows of tiles are 16 bytes longer than a head is wide: eight rows at one column lie in different banks. Heads narrower than the template's width are
// padded with zeros.
#pragma once
#include "heads.cuh"
#include "mma.cuh"

constexpr float log2e = 1.4426950408889634f;

// Attention is device.AttentionArgs. Its order and sizes are those of Go's attentionCall.
template <class T> struct Attention {
  Window<T> q, k, v, o;
  float *log_sums; // (B, H, T), or null
  const int *lengths, *packed;
  int batches, queries, keys, heads, key_heads, width, sequences, causal;
  float scale;
  int tiles;   // of rows, in a head
  int section; // heads whose tiles run side by side: as many as the second-level cache holds
  int stages;  // tiles of the other side in shared memory: 2, or 1 where there is no room
};

// Gradients is the rest of device.AttentionBackwardArgs.
template <class T> struct Gradients {
  Window<T> d_o, dq, dk, dv;
  float *statistics; // of each (b, h, t) the log-sum in bits and the inner product of O and its gradient; `stride` rows of T
  int stride, accumulate;
};

// Tiles is the sizes of tiles for a head width W, which are also in Go's attentionTiles: 16-row parts of a warp's rows, and rows of a tile that streams.
//
// A warp with 32 rows uses each fragment of the other side twice: with 16, shared memory would bound matrix instructions to half their rate. That takes up to 255
// registers, so two blocks, eight warps, share a multiprocessor of an H100 or H200 in bfloat16: each has 56 KiB of shared memory for width 64 and 105 KiB for 128. At
// width 256 one block has 136 to 170 KiB. In float, blocks of widths up to 64 come three or four to a multiprocessor, those of 128 two, those of 256 one.
template <class T, int W> struct Tiles {
  static constexpr bool matrix = sizeof(T) == 2;
  static constexpr int stride = W + 16 / sizeof(T);
  static constexpr int forward_parts = matrix && W <= 128 ? 2 : 1, forward_keys = matrix ? (64) : W <= 128 ? 32 : 16;
  static constexpr int queries_parts = forward_parts, queries_keys = matrix ? (W <= 64 ? 64 : 32) : W <= 128 ? 32 : 16;
  static constexpr int keys_parts = matrix && W <= 64 ? 2 : 1, keys_queries = matrix ? (W <= 64 ? 32 : W <= 128 ? 64 : 32) : 16;
  static constexpr int keys_columns = W <= 128 ? W : W / 2; // of the gradients of keys and values that one block has registers for
};

struct Range {
  int lo, hi;
};

// sequence_of is the packed sequence that token t lies in.
DEVICE Range sequence_of(const int *packed, int sequences, int t) {
  int lo = 0, hi = sequences; // packed[lo] <= t < packed[hi]
  while (hi - lo > 1) {
    int middle = (lo + hi) / 2;
    if (packed[middle] <= t)
      lo = middle;
    else
      hi = middle;
  }
  return {packed[lo], packed[hi]};
}

// keys_of is the keys that query t of batch row b sees; neither bound falls from a query to the next.
template <class T> DEVICE Range keys_of(const Attention<T> &a, int b, int t) {
  Range r = {0, a.keys};
  if (a.packed) r = sequence_of(a.packed, a.sequences, t);
  if (a.lengths) r.hi = min(r.hi, a.lengths[b]);
  if (a.causal) r.hi = min(r.hi, t + 1 + a.keys - a.queries);
  return r;
}

// queries_of is the queries that see key s of batch row b, which is one of the row's.
template <class T> DEVICE Range queries_of(const Attention<T> &a, int b, int s) {
  Range r = {0, a.queries};
  if (a.packed) r = sequence_of(a.packed, a.sequences, s);
  if (a.causal) r.lo = max(r.lo, s - (a.keys - a.queries));
  return r;
}

// Limits are what the rows of a tile see: all of them `inner`, some of them `outer`.
struct Limits {
  Range outer, inner;
};
// limits_of finds the limits of n rows from what each sees. Neither bound falls from a row to the next.
DEVICE Limits limits_of(const Range *ranges, int n) {
  Range first = ranges[0], last = ranges[n - 1];
  return {{first.lo, last.hi}, {last.lo, first.hi}};
}
// misses tells whether no row sees any of the n from `from` on, cuts whether some row does not see all.
DEVICE bool misses(const Limits &l, int from, int n) { return from >= l.outer.hi || from + n <= l.outer.lo; }
DEVICE bool cuts(const Limits &l, int from, int n) { return from < l.inner.lo || from + n > l.inner.hi; }

// Block is the part of the work of one block.
struct Block {
  int batch, head, tile;
};

// block_of deals tiles out: section by section, and in it tile by tile, so that the blocks of one time read the same keys. Under a causal mask the tiles
// with most work come first: `last_first` says at which end they are.
template <class T> DEVICE Block block_of(const Attention<T> &a, int heads, bool last_first) {
  int whole = a.tiles * a.section, first = blockIdx.x / whole * a.section, at = blockIdx.x % whole;
  int beside = min(a.section, a.batches * heads - first);
  int tile = at / beside, unit = first + at % beside;
  return {unit / heads, unit % heads, last_first ? a.tiles - 1 - tile : tile};
}

// again is x, hidden from the compiler: what is computed from it in a loop is not kept in registers across the loop.
DEVICE int again(int x) {
#ifdef __CUDACC__
  asm volatile("" : "+r"(x));
#endif
  return x;
}

// load asks for n rows from row `from` on as a tile. Rows from `end` on, and columns beyond the width, are zeros.
template <int W, class T> DEVICE void load(T *tile, const Rows<T> &x, int from, int n, int end) {
  constexpr int stride = Tiles<T, W>::stride, size = Pack<T>::size, packs = W / size;
  if (x.packs) { // a warp takes as many rows at a time as it has lanes for
    constexpr int across = packs < 32 ? packs : 32, down = 32 / across;
    const int thread = again(threadIdx.x), lane = thread & 31, step = blockDim.x / 32 * down, c = lane % across * size;
    int r = thread / 32 * down + lane / across;
    if (lane >= across * down) return;
    const T *source = row(x, from + r) + c;
    T *to = tile + r * stride + c;
    LOOP_ROLLED for (; r < n; r += step) {
      LOOP_UNROLLED for (int i = 0; i < packs / across; i++) copy_async(to + 32 * i * size, source + 32 * i * size, from + r < end && c + 32 * i * size < x.width);
      source += step * x.token;
      to += step * stride;
    }
    return;
  }
  LOOP_ROLLED for (int i = again(threadIdx.x); i < n * W; i += blockDim.x) {
    int r = i / W, c = i % W;
    T *to = tile + r * stride + c;
    if (from + r < end && c < x.width)
      *to = row(x, from + r)[c];
    else
      from_float(to, 0.f);
  }
}

// stream calls work(at, stage) for at = from, from + step, ... below end. Before it, load(at, stage) has asked for the tile, and all threads see it. All threads of
// the block take part.
template <class L, class F> DEVICE void stream(int from, int end, int step, int stages, L load, F work) {
  if (from >= end) return;
  const int ahead = stages == 2 ? step : 0; // how far loads are before work
  int stage = 0;
  LOOP_ROLLED for (int at = from; at < end + ahead; at += step) {
    if (ahead) wait_copies<0>();
    __syncthreads(); // what was asked for is there, and what is overwritten now has been used
    if (at < end) load(at, stage);
    end_copies();
    if (ahead)
      stage ^= 1;
    else {
      wait_copies<0>();
      __syncthreads();
    }
    if (at - ahead >= from) work(at - ahead, stage);
  }
}

// multiply_rows: scores += a bᵀ, of the warp's 16 M rows of tile a and the N rows of tile b.
template <int W, int M, int N> DEVICE void multiply_rows(float (&scores)[M][N / 8][4], const bf16 *a, const bf16 *b) {
  constexpr int stride = Tiles<bf16, W>::stride;
  const int lane = threadIdx.x & 31;
  a += (lane & 15) * stride + (lane >> 4) * 8;
  b += ((lane & 7) + (lane >> 4) * 8) * stride + (lane >> 3 & 1) * 8; // both halves of eight columns of bᵀ, then of the next eight
  LOOP_ROLLED for (int k = 0; k < W; k += 16) {
    u32 x[M][4];
    LOOP_UNROLLED for (int m = 0; m < M; m++) load_matrices(x[m], a + 16 * m * stride + k);
    LOOP_UNROLLED for (int n = 0; n < N; n += 16) {
      u32 y[4];
      load_matrices(y, b + n * stride + k);
      LOOP_UNROLLED for (int m = 0; m < M; m++) {
        multiply_add(scores[m][n / 8], x[m], y);
        multiply_add(scores[m][n / 8 + 1], x[m], y + 2);
      }
    }
  }
}
template <int W, int M, int N> DEVICE void multiply_rows(float (&scores)[M][N / 8][4], const float *a, const float *b) {
  constexpr int stride = Tiles<float, W>::stride;
  const int lane = threadIdx.x & 31;
  a += (lane >> 2) * stride;
  b += 2 * (lane & 3) * stride;
  LOOP_ROLLED for (int k = 0; k < W; k += 4) {
    Pack<float> x[2 * M];
    LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) x[r] = *(const Pack<float> *)(a + 8 * r * stride + k);
    LOOP_UNROLLED for (int n = 0; n < N / 8; n++) {
      LOOP_UNROLLED for (int e = 0; e < 2; e++) {
        Pack<float> y = *(const Pack<float> *)(b + (8 * n + e) * stride + k);
        LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
          float &s = scores[r / 2][n][r % 2 * 2 + e];
          LOOP_UNROLLED for (int i = 0; i < 4; i++) s += x[r].v[i] * y.v[i];
        }
      }
    }
  }
}

// multiply_columns: sums += p b, of the warp's 16 M rows of weights for the N rows of tile b, of which C columns from b on are taken.
template <int W, int C, int M, int N> DEVICE void multiply_columns(float (&sums)[M][C / 8][4], const float (&p)[M][N][4], const bf16 *b) {
  constexpr int stride = Tiles<bf16, W>::stride;
  const int lane = threadIdx.x & 31;
  b += (lane & 15) * stride + (lane >> 4) * 8;
  LOOP_UNROLLED for (int k = 0; k < N; k += 2) {
    u32 x[M][4];
    LOOP_UNROLLED for (int m = 0; m < M; m++) {
      LOOP_UNROLLED for (int i = 0; i < 4; i++) x[m][i] = pair(p[m][k + i / 2][i % 2 * 2], p[m][k + i / 2][i % 2 * 2 + 1]);
    }
    LOOP_UNROLLED for (int n = 0; n < C; n += 16) {
      u32 y[4];
      load_matrices_transposed(y, b + 8 * k * stride + n);
      LOOP_UNROLLED for (int m = 0; m < M; m++) {
        multiply_add(sums[m][n / 8], x[m], y);
        multiply_add(sums[m][n / 8 + 1], x[m], y + 2);
      }
    }
  }
}
template <int W, int C, int M, int N> DEVICE void multiply_columns(float (&sums)[M][C / 8][4], const float (&p)[M][N][4], const float *b) {
  constexpr int stride = Tiles<float, W>::stride;
  const int lane = threadIdx.x & 31;
  b += 2 * (lane & 3);
  LOOP_UNROLLED for (int k = 0; k < N; k++) {
    LOOP_ROLLED for (int owner = 0; owner < 4; owner++) { // the lanes that share a row have two columns of the weights each
      LOOP_UNROLLED for (int f = 0; f < 2; f++) {
        float x[2 * M];
        LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) x[r] = __shfl_sync(0xffffffffu, p[r / 2][k][r % 2 * 2 + f], (lane & ~3) | owner);
        const float *from = b + (8 * k + 2 * owner + f) * stride;
        LOOP_UNROLLED for (int n = 0; n < C / 8; n++) {
          LOOP_UNROLLED for (int e = 0; e < 2; e++) {
            LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) sums[r / 2][n][r % 2 * 2 + e] += x[r] * from[8 * n + e];
          }
        }
      }
    }
  }
}

// store writes the warp's 16 M rows, the first of which is `first`, from `column` on, or adds them. Rows from `end` on are left out.
template <int C, int M, class T> DEVICE void store(const Rows<T> &y, float (&sums)[M][C / 8][4], int first, int end, int column, bool accumulate) {
  struct alignas(2 * sizeof(T)) Pair {
    T v[2];
  };
  const int lane = threadIdx.x & 31, from = column + 2 * (lane & 3), left = y.width - from;
  LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
    const int t = first + 8 * r + (lane >> 2);
    if (t >= end) continue;
    T *to = row(y, t) + from;
    if (accumulate) {
      LOOP_UNROLLED for (int n = 0; n < C / 8; n++) {
        LOOP_UNROLLED for (int e = 0; e < 2; e++) {
          if (8 * n + e < left) sums[r / 2][n][r % 2 * 2 + e] += to_float(to[8 * n + e]);
        }
      }
    }
    LOOP_UNROLLED for (int n = 0; n < C / 8; n++) {
      Pair p;
      from_float(&p.v[0], sums[r / 2][n][r % 2 * 2]);
      from_float(&p.v[1], sums[r / 2][n][r % 2 * 2 + 1]);
      if (y.pairs && 8 * n < left)
        *(Pair *)(to + 8 * n) = p;
      else {
        if (8 * n < left) to[8 * n] = p.v[0];
        if (8 * n + 1 < left) to[8 * n + 1] = p.v[1];
      }
    }
  }
}

// hide takes away the scores of what the warp's rows do not see, by their ranges. The first column is `from`.
template <int M, int N> DEVICE void hide(float (&scores)[M][N][4], const Range *ranges, int from) {
  const int lane = threadIdx.x & 31;
  from += 2 * (lane & 3);
  LOOP_UNROLLED for (int r = 0; r < 2 * M; r++) {
    const Range seen = ranges[8 * r + (lane >> 2)];
    LOOP_UNROLLED for (int n = 0; n < N; n++) {
      LOOP_UNROLLED for (int e = 0; e < 2; e++) {
        const int at = from + 8 * n + e;
        if (at < seen.lo || at >= seen.hi) scores[r / 2][n][r % 2 * 2 + e] = -INFINITY;
      }
    }
  }
}

// quad_sum and quad_max are over the four lanes that share a row.
DEVICE float quad_sum(float v) {
  v += __shfl_xor_sync(0xffffffffu, v, 1);
  return v + __shfl_xor_sync(0xffffffffu, v, 2);
}
DEVICE float quad_max(float v) {
  v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 1));
  return fmaxf(v, __shfl_xor_sync(0xffffffffu, v, 2));
}

// OF_WIDTHS makes the kernels name_W_f32 and name_W_bf16 of a template name<T, W>, for all widths.
#define OF_WIDTH(name, width, parameters, arguments)                              \
  template <class T> DEVICE void name##_##width parameters { name<T, width> arguments; } \
  KERNELS(name##_##width, parameters, arguments)
#define OF_WIDTHS(name, parameters, arguments) \
  OF_WIDTH(name, 32, parameters, arguments)    \
  OF_WIDTH(name, 64, parameters, arguments)    \
  OF_WIDTH(name, 96, parameters, arguments)    \
  OF_WIDTH(name, 128, parameters, arguments)   \
  OF_WIDTH(name, 256, parameters, arguments)
