// Rotary position embedding in the half-split layout: element i of a part of a head and the one half a part further are turned together.
#include "heads.cuh"

template <class T, int n> struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Some {
  T v[n];
};

// turn_rows turns n pairs in each thread at a time. A row is all heads of a token; blockDim.y rows share a block.
template <class T, int n> DEVICE void turn_rows(const Window<T> &x, const Window<T> &y, const float *cos, const float *sin, const int *index, i64 rows, int tokens, int heads, int width, int parts, float turn) {
  const int half = width / 2, pairs = half / parts;
  for (i64 r = (i64)blockIdx.x * blockDim.y + threadIdx.y; r < rows; r += (i64)gridDim.x * blockDim.y) {
    const i64 b = r / tokens, t = r % tokens, entry = (index ? index[r] : t) * half;
    for (int i = threadIdx.x; i < heads * half / n; i += blockDim.x) {
      const int h = i / (half / n), pair = i % (half / n) * n, at = pair / pairs * pairs + pair;
      const T *from = x.data + b * x.batch + t * x.token + h * x.head + at;
      T *to = y.data + b * y.batch + t * y.token + h * y.head + at;
      Some<T, n> u = *(const Some<T, n> *)from, v = *(const Some<T, n> *)(from + pairs);
      const Some<float, n> c = *(const Some<float, n> *)(cos + entry + pair), s = *(const Some<float, n> *)(sin + entry + pair);
      LOOP_UNROLLED for (int j = 0; j < n; j++) {
        const float first = to_float(u.v[j]), second = to_float(v.v[j]), up = turn * s.v[j];
        from_float(&u.v[j], first * c.v[j] - second * up);
        from_float(&v.v[j], second * c.v[j] + first * up);
      }
      *(Some<T, n> *)to = u;
      *(Some<T, n> *)(to + pairs) = v;
    }
  }
}

template <class T> DEVICE bool whole(const Window<T> &w) {
  constexpr int n = Pack<T>::size;
  return aligned(w.data) && w.batch % n == 0 && w.token % n == 0 && w.head % n == 0;
}

// Entry index[row], or the row's token, of the table (entries, width / 2) has the sines and cosines. turn is -1 for the gradient, else 1.
template <class T> DEVICE void rope(const Window<T> &x, const Window<T> &y, const float *cos, const float *sin, const int *index, i64 rows, int tokens, int heads, int width, int parts, float turn) {
  constexpr int n = Pack<T>::size;
  if (whole(x) && whole(y) && width / 2 / parts % n == 0)
    turn_rows<T, n>(x, y, cos, sin, index, rows, tokens, heads, width, parts, turn);
  else
    turn_rows<T, 1>(x, y, cos, sin, index, rows, tokens, heads, width, parts, turn);
}
KERNELS(rope, (Window<T> x, Window<T> y, const float *cos, const float *sin, const int *index, i64 rows, int tokens, int heads, int width, int parts, float turn),
        (x, y, cos, sin, index, rows, tokens, heads, width, parts, turn))
