// Products of matrices in tiles: a block of 256 threads computes 128 x 128 elements. Sums run over the inner dimension in one order.
// A launch gives dynamic shared memory: 33792 bytes in float32, 61440 in bfloat16.
#pragma once
#include "mma.cuh"

#ifdef __CUDACC__
#define METHOD DEVICE
#else
#define METHOD inline
#endif

// Matrix is `rows` of `columns` elements, stored row by row, or column by column where it is turned.
template <class T> struct Matrix {
  const T *p;
  i64 rows, columns;
  bool turned = false;

  // whole tells whether every 16 bytes of a row lie together, at a multiple of 16.
  METHOD bool whole() const { return !turned && aligned(p) && columns % Pack<T>::size == 0; }
  METHOD bool has(i64 row, i64 column) const { return row < rows && column < columns; }
  METHOD T at(i64 row, i64 column) const { return p[turned ? column * rows + row : row * columns + column]; }
};

constexpr int tile_side = 128, tile_threads = 256;

// Result is where sums go: d = alpha sum + beta c, in float32 where `wide`, else in bfloat16. c may be d; where beta is 0 it is not read.
struct Result {
  void *d;
  const void *c;
  i64 rows, columns;
  float alpha, beta;
  bool wide;
  static constexpr int height = tile_side / 2, width = tile_side + 4;

  METHOD void put(i64 i, float v) const {
    v *= alpha;
    if (wide)
      ((float *)d)[i] = beta == 0.f ? v : v + beta * ((const float *)c)[i];
    else
      from_float((bf16 *)d + i, beta == 0.f ? v : v + beta * to_float(((const bf16 *)c)[i]));
  }

  // take stores half a tile of sums from shared memory, whose rows are `width` apart. Neighbouring threads store neighbouring elements.
  METHOD void take(const float *sums, i64 row, i64 column) const {
    for (int i = threadIdx.x; i < height * tile_side; i += tile_threads) {
      i64 y = row + i / tile_side, x = column + i % tile_side;
      if (y < rows && x < columns) put(y * columns + x, sums[i / tile_side * width + i % tile_side]);
    }
  }
};

// Tile computes rows m0.. and columns n0.. of op(a) op(b). op(a) is a, or its transpose with TA; so is op(b). `inner` is their common dimension.
template <class T, bool TA, bool TB> struct Tile;

// bfloat16: eight warps multiply 64 x 32 elements each by tensor cores; tiles of 32 elements of the inner dimension are copied two steps ahead.
template <bool TA, bool TB> struct Tile<bf16, TA, TB> {
  static constexpr int depth = 32, stages = 3, pad = 8; // a row of a tile ends in padding, so that ldmatrix reads from different banks
  static constexpr int elements = tile_side * (depth + pad);
  static constexpr int a_columns = TA ? tile_side : depth, a_rows = TA ? depth : tile_side;
  static constexpr int b_columns = TB ? depth : tile_side, b_rows = TB ? tile_side : depth;

  template <int rows, int columns> static METHOD void load(bf16 *tile, const Matrix<bf16> &m, i64 row, i64 column, bool whole) {
    for (int c = threadIdx.x; c < rows * columns / 8; c += tile_threads) {
      int r = c / (columns / 8), q = c % (columns / 8) * 8;
      i64 y = row + r, x = column + q;
      bf16 *to = tile + r * (columns + pad) + q;
      if (whole) {
        bool there = m.has(y, x);
        copy_async(to, there ? m.p + y * m.columns + x : m.p, there);
        continue;
      }
      for (int j = 0; j < 8; j++) from_float(to + j, m.has(y, x + j) ? to_float(m.at(y, x + j)) : 0.f);
    }
  }

  static METHOD void step(float (&sums)[4][4][4], const bf16 *a, const bf16 *b) {
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, m0 = warp / 4 * 64, n0 = warp % 4 * 32;
    LOOP_UNROLLED for (int k = 0; k < depth; k += 16) {
      u32 x[4][4], y[2][4];
      LOOP_UNROLLED for (int i = 0; i < 4; i++) {
        int m = m0 + i * 16;
        if (TA)
          load_matrices_transposed(x[i], a + (k + lane / 16 * 8 + lane % 8) * (a_columns + pad) + m + lane / 8 % 2 * 8);
        else
          load_matrices(x[i], a + (m + lane % 16) * (a_columns + pad) + k + lane / 16 * 8);
      }
      LOOP_UNROLLED for (int j = 0; j < 2; j++) {
        int n = n0 + j * 16;
        if (TB)
          load_matrices(y[j], b + (n + lane / 16 * 8 + lane % 8) * (b_columns + pad) + k + lane / 8 % 2 * 8);
        else
          load_matrices_transposed(y[j], b + (k + lane % 16) * (b_columns + pad) + n + lane / 16 * 8);
      }
      LOOP_UNROLLED for (int i = 0; i < 4; i++)
        LOOP_UNROLLED for (int j = 0; j < 4; j++) multiply_add(sums[i][j], x[i], &y[j / 2][j % 2 * 2]);
    }
  }

  static METHOD void run(const Matrix<bf16> &a, const Matrix<bf16> &b, i64 m0, i64 n0, i64 inner, const Result &result) {
    DYNAMIC_SHARED(bf16, shared);
    bool whole_a = a.whole(), whole_b = b.whole();
    i64 steps = (inner + depth - 1) / depth;
    auto fetch = [&](i64 s) {
      bf16 *to = shared + s % stages * 2 * elements;
      load<a_rows, a_columns>(to, a, TA ? s * depth : m0, TA ? m0 : s * depth, whole_a);
      load<b_rows, b_columns>(to + elements, b, TB ? n0 : s * depth, TB ? s * depth : n0, whole_b);
    };
    float sums[4][4][4] = {};
    for (int s = 0; s < stages - 1; s++) {
      if (s < steps) fetch(s);
      end_copies();
    }
    for (i64 s = 0; s < steps; s++) {
      wait_copies<stages - 2>();
      __syncthreads();
      if (s + stages - 1 < steps) fetch(s + stages - 1); // into the tiles of the step before, which all have read
      end_copies();
      const bf16 *at = shared + s % stages * 2 * elements;
      step(sums, at, at + elements);
    }
    wait_copies<0>();
    int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    float *out = (float *)shared, *mine = out + lane / 4 * Result::width + warp % 4 * 32 + lane % 4 * 2;
    for (int half = 0; half < 2; half++) {
      __syncthreads();
      if (warp / 4 == half) {
        LOOP_UNROLLED for (int i = 0; i < 4; i++)
          LOOP_UNROLLED for (int j = 0; j < 4; j++)
            LOOP_UNROLLED for (int e = 0; e < 4; e++) mine[(i * 16 + e / 2 * 8) * Result::width + j * 8 + e % 2] = sums[i][j][e];
      }
      __syncthreads();
      result.take(out, m0 + half * Result::height, n0);
    }
  }
};

// float32: a thread computes 8 x 8 elements, four by four in the quarters of the tile, so that what it reads of shared memory is 16 bytes each.
template <bool TA, bool TB> struct Tile<float, TA, TB> {
  static constexpr int depth = 16, width = tile_side + 4;

  // load stores a tile with the inner dimension outermost. `across`: the inner dimension is along the rows of m.
  template <bool across> static METHOD void load(float *tile, const Matrix<float> &m, i64 outer, i64 inner) {
    for (int c = threadIdx.x; c < depth * tile_side; c += tile_threads) {
      int k = across ? c % depth : c / tile_side, o = across ? c / depth : c % tile_side;
      i64 y = across ? outer + o : inner + k, x = across ? inner + k : outer + o;
      tile[k * width + o] = m.has(y, x) ? m.at(y, x) : 0.f;
    }
  }

  static METHOD void run(const Matrix<float> &a, const Matrix<float> &b, i64 m0, i64 n0, i64 inner, const Result &result) {
    DYNAMIC_SHARED(float, shared);
    float *x = shared, *y = shared + depth * width, sums[8][8] = {};
    int down = threadIdx.x / 16 * 4, right = threadIdx.x % 16 * 4;
    for (i64 k0 = 0; k0 < inner; k0 += depth) {
      load<!TA>(x, a, m0, k0);
      load<TB>(y, b, n0, k0);
      __syncthreads();
      LOOP_UNROLLED for (int k = 0; k < depth; k++) {
        Pack<float> u[2], v[2];
        LOOP_UNROLLED for (int h = 0; h < 2; h++) {
          u[h] = *(const Pack<float> *)(x + k * width + h * 64 + down);
          v[h] = *(const Pack<float> *)(y + k * width + h * 64 + right);
        }
        LOOP_UNROLLED for (int i = 0; i < 8; i++)
          LOOP_UNROLLED for (int j = 0; j < 8; j++) sums[i][j] += u[i / 4].v[i % 4] * v[j / 4].v[j % 4];
      }
      __syncthreads();
    }
    LOOP_UNROLLED for (int half = 0; half < 2; half++) {
      LOOP_UNROLLED for (int i = 0; i < 4; i++)
        LOOP_UNROLLED for (int j = 0; j < 8; j++) shared[(down + i) * Result::width + j / 4 * 64 + right + j % 4] = sums[half * 4 + i][j];
      __syncthreads();
      result.take(shared, m0 + half * Result::height, n0);
      __syncthreads();
    }
  }
};
