// Moves of rows.
#include "rows.cuh"

// missing is what a row past the end of its table is made of: NaN, which shows in the loss.
DEVICE float missing() { return __int_as_float(0x7fc00000); }

// Row i of y is row index[i] of the table, or zeros.
template <class F, class T> DEVICE void gather(T *y, const F *table, const int *index, i64 n, i64 table_rows, i64 cols, i64 ldy) {
  bool whole = packed(y, ldy) && packed(table, cols);
  each_part(n, cols, [=](i64 r, i64 c, int elements) {
    i64 t = index[r];
    float v[part];
    if (t >= 0 && t < table_rows)
      load(v, table + t * cols + c, elements, whole);
    else
      LOOP_UNROLLED for (int j = 0; j < part; j++) v[j] = t < 0 ? 0.f : missing();
    store(y + r * ldy + c, v, elements, whole);
  });
}
PAIRS(gather, (T *y, const F *table, const int *index, i64 n, i64 table_rows, i64 cols, i64 ldy), (y, table, index, n, table_rows, cols, ldy))

// lane_columns is where a warp's lane works in a row of which block y has 32 parts.
DEVICE i64 lane_columns(i64 cols, int *n) {
  i64 c = (blockIdx.y * 32 + (i64)(threadIdx.x & 31)) * part;
  *n = (int)min((i64)part, max((i64)0, cols - c));
  return c;
}

// The gradient of gather: warp k adds the rows of dy that came from the table row of position order[k], in the order of positions, if k is the
// first of them in `order`, which is sorted by table row and then by position.
template <class F, class T>
DEVICE void gather_sorted(T *dtable, const F *dy, const int *index, const int *order, i64 n, i64 table_rows, i64 cols, i64 lddy) {
  i64 k = first_element() >> 5;
  if (k >= n) return;
  int t = index[order[k]], elements;
  if (t < 0 || t >= table_rows || (k > 0 && index[order[k - 1]] == t)) return;
  i64 c = lane_columns(cols, &elements);
  if (elements == 0) return;
  bool whole = packed(dtable, cols) && packed(dy, lddy);
  float sum[part];
  load(sum, dtable + t * cols + c, elements, whole);
  while (k < n) {
    i64 rows[4];
    int found = 0;
    for (; found < 4 && k < n; k++, found++) {
      rows[found] = order[k];
      if (index[rows[found]] != t) break;
    }
    float v[4][part];
    LOOP_UNROLLED for (int i = 0; i < 4; i++)
      if (i < found) load(v[i], dy + rows[i] * lddy + c, elements, whole);
    LOOP_UNROLLED for (int i = 0; i < 4; i++)
      if (i < found) add_to(sum, v[i]);
    if (found < 4) break;
  }
  store(dtable + t * cols + c, sum, elements, whole);
}
PAIRS(gather_sorted, (T *dtable, const F *dy, const int *index, const int *order, i64 n, i64 table_rows, i64 cols, i64 lddy),
      (dtable, dy, index, order, n, table_rows, cols, lddy))

// The same for a few positions: warp k looks for those of its table row among all.
template <class F, class T> DEVICE void gather_few(T *dtable, const F *dy, const int *index, i64 n, i64 table_rows, i64 cols, i64 lddy) {
  i64 k = first_element() >> 5;
  int lane = threadIdx.x & 31;
  if (k >= n) return;
  int t = index[k];
  if (t < 0 || t >= table_rows) return;
  for (i64 at = 0; at < k; at += 32)
    if (__ballot_sync(0xffffffffu, at + lane < k && index[at + lane] == t)) return;
  int elements;
  i64 c = lane_columns(cols, &elements);
  bool whole = packed(dtable, cols) && packed(dy, lddy);
  float sum[part];
  load(sum, dtable + t * cols + c, elements, whole);
  for (i64 at = k; at < n; at += 32) {
    u32 same = __ballot_sync(0xffffffffu, at + lane < n && index[at + lane] == t);
    for (; same; same &= same - 1) {
      float v[part];
      load(v, dy + (at + __ffs(same) - 1) * lddy + c, elements, whole);
      add_to(sum, v);
    }
  }
  store(dtable + t * cols + c, sum, elements, whole);
}
PAIRS(gather_few, (T *dtable, const F *dy, const int *index, i64 n, i64 table_rows, i64 cols, i64 lddy),
      (dtable, dy, index, n, table_rows, cols, lddy))

// y (+)= x
template <class F, class T> DEVICE void copy_block(T *y, const F *x, i64 rows, i64 cols, i64 ldx, i64 ldy, int accumulate) {
  bool whole = packed(y, ldy) && packed(x, ldx);
  each_part(rows, cols, [=](i64 r, i64 c, int n) {
    float v[part];
    load(v, x + r * ldx + c, n, whole);
    if (accumulate) {
      float old[part];
      load(old, y + r * ldy + c, n, whole);
      add_to(v, old);
    }
    store(y + r * ldy + c, v, n, whole);
  });
}
PAIRS(copy_block, (T *y, const F *x, i64 rows, i64 cols, i64 ldx, i64 ldy, int accumulate), (y, x, rows, cols, ldx, ldy, accumulate))

// each_pixel calls f(pixel, place in the patches); a warp has a row of pixels of one channel.
template <class F> DEVICE void each_pixel(i64 rows, int channels, int height, int width, int n, F f) {
  int across = width / n;
  for (i64 r = first_element() >> 5; r < rows; r += element_stride() >> 5) {
    i64 plane, y, image, channel;
    split(r, height, &plane, &y);
    split(plane, channels, &image, &channel);
    i64 patches = (image * (height / n) + y / n) * across;
    for (int x = threadIdx.x & 31; x < width; x += 32) {
      int patch = x / n;
      f(r * width + x, (((patches + patch) * channels + channel) * n + y % n) * n + (x - patch * n));
    }
  }
}

template <class F, class T> DEVICE void patchify(T *patches, const F *images, i64 rows, int channels, int height, int width, int n) {
  each_pixel(rows, channels, height, width, n, [=](i64 pixel, i64 at) { from_float(patches + at, to_float(images[pixel])); });
}
PAIRS(patchify, (T *patches, const F *images, i64 rows, int channels, int height, int width, int n), (patches, images, rows, channels, height, width, n))

template <class F, class T> DEVICE void unpatchify(T *images, const F *patches, i64 rows, int channels, int height, int width, int n) {
  each_pixel(rows, channels, height, width, n, [=](i64 pixel, i64 at) { from_float(images + pixel, to_float(patches[at])); });
}
PAIRS(unpatchify, (T *images, const F *patches, i64 rows, int channels, int height, int width, int n), (images, patches, rows, channels, height, width, n))

// dx (+)= dy / length for the tokens that count
template <class T> DEVICE void mean_pool_backward(T *dx, const T *dy, const int *lengths, i64 b, i64 t, i64 cols, int accumulate) {
  bool whole = packed(dx, cols) && packed(dy, cols);
  each_part(b * t, cols, [=](i64 r, i64 c, int n) {
    i64 sequence, token;
    split(r, t, &sequence, &token);
    i64 length = lengths ? lengths[sequence] : t;
    float v[part];
    load(v, dy + sequence * cols + c, n, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) v[j] = token < length ? v[j] / (float)length : 0.f;
    if (accumulate) {
      float old[part];
      load(old, dx + r * cols + c, n, whole);
      add_to(v, old);
    }
    store(dx + r * cols + c, v, n, whole);
  });
}
KERNELS(mean_pool_backward, (T *dx, const T *dy, const int *lengths, i64 b, i64 t, i64 cols, int accumulate), (dx, dy, lengths, b, t, cols, accumulate))

// cubic is the kernel of cubic convolution (Keys 1981) with a = -0.75.
DEVICE float cubic(float x) {
  const float a = -0.75f;
  x = fabsf(x);
  if (x <= 1.f) return ((a + 2.f) * x - (a + 3.f)) * x * x + 1.f;
  return x < 2.f ? ((a * x - 5.f * a) * x + 8.f * a) * x - 4.f * a : 0.f;
}

// Taps are the four cells that one coordinate takes from, with their weights. Coordinates are doubles: floats miss the cell where one is whole.
struct Taps {
  int first;
  float weight[4];
};
DEVICE Taps taps(int at, int n, int side) {
  double x = (at + 0.5) * side / n - 0.5, whole = floor(x);
  Taps t;
  t.first = (int)whole - 1;
  LOOP_UNROLLED for (int i = 0; i < 4; i++) t.weight[i] = cubic((float)(x - whole) + 1.f - (float)i);
  return t;
}
DEVICE int clamp(int i, int side) { return min(max(i, 0), side - 1); }

// weight_at is what a coordinate takes from a cell: at the edge, several taps.
DEVICE float weight_at(Taps t, int cell, int side) {
  float sum = 0.f;
  LOOP_UNROLLED for (int i = 0; i < 4; i++) sum += clamp(t.first + i, side) == cell ? t.weight[i] : 0.f;
  return sum;
}

struct Places { // of tokens, and the sizes of their images
  const int *down, *across, *heights, *widths;
};

template <class T> DEVICE void grid(T *y, const float *table, Places p, i64 n, i64 cols, int side) {
  bool whole = packed(y, cols) && packed(table, cols);
  each_part(n, cols, [=](i64 r, i64 c, int elements) {
    Taps vertical = taps(p.down[r], p.heights[r], side), horizontal = taps(p.across[r], p.widths[r], side);
    float sum[part] = {};
    for (int i = 0; i < 4; i++)
      for (int k = 0; k < 4; k++) {
        i64 cell = (i64)clamp(vertical.first + i, side) * side + clamp(horizontal.first + k, side);
        float v[part], w = vertical.weight[i] * horizontal.weight[k];
        load(v, table + cell * cols + c, elements, whole);
        LOOP_UNROLLED for (int j = 0; j < part; j++) sum[j] += w * v[j];
      }
    store(y + r * cols + c, sum, elements, whole);
  });
}
KERNELS(grid, (T *y, const float *table, Places p, i64 n, i64 cols, int side), (y, table, p, n, cols, side))

// Block (x, y) has cell x of the table and 32 parts of its columns. Its threads find the weights of 256 tokens at a time; each warp adds up every
// eighth token, and warp 0 the warps.
template <class T> DEVICE void grid_backward(float *dtable, const T *dy, Places p, i64 n, i64 cols, int side) {
  SHARED(float, weights, 256);
  SHARED(float, shared, 8 * 32 * part);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, elements;
  int row = blockIdx.x / side, column = blockIdx.x % side;
  i64 c = lane_columns(cols, &elements);
  bool whole = packed(dy, cols);
  float sum[part] = {};
  for (i64 at = 0; at < n; at += 256) {
    i64 i = at + threadIdx.x;
    __syncthreads();
    weights[threadIdx.x] = i < n ? weight_at(taps(p.down[i], p.heights[i], side), row, side) * weight_at(taps(p.across[i], p.widths[i], side), column, side) : 0.f;
    __syncthreads();
    for (int k = warp; k < 256; k += 8) {
      float w = weights[k];
      if (w == 0.f) continue;
      float v[part];
      load(v, dy + (at + k) * cols + c, elements, whole);
      LOOP_UNROLLED for (int j = 0; j < part; j++) sum[j] += w * v[j];
    }
  }
  LOOP_UNROLLED for (int j = 0; j < part; j++) shared[(warp * part + j) * 32 + lane] = sum[j];
  __syncthreads();
  if (warp > 0) return;
  LOOP_UNROLLED for (int j = 0; j < part; j++) {
    for (int w = 1; w < 8; w++) sum[j] += shared[(w * part + j) * 32 + lane];
    if (j < elements) dtable[(i64)blockIdx.x * cols + c + j] += sum[j];
  }
}
KERNELS(grid_backward, (float *dtable, const T *dy, Places p, i64 n, i64 cols, int side), (dtable, dy, p, n, cols, side))
