// Windows of tensors: the heads of queries, keys or values.
#pragma once
#include "device.cuh"

// Window is device.Heads: element (b, t, h, i) is at data + b batch + t token + h head + i.
template <class T> struct Window {
  T *data;
  i64 batch, token, head;
};

// Rows are the tokens of one head.
template <class T> struct Rows {
  T *data;
  i64 token;
  int width;
  bool packs, pairs; // 16 bytes, or two elements, can be accessed at once
};
template <class T> DEVICE T *row(const Rows<T> &x, int t) { return x.data + t * x.token; }
template <class T> DEVICE Rows<T> rows_of(const Window<T> &w, int b, int h, int width) {
  T *data = w.data + b * w.batch + h * w.head;
  constexpr int n = Pack<T>::size;
  return {data, w.token, width, aligned(data) && w.token % n == 0 && width % n == 0,
          ((uintptr_t)data & (2 * sizeof(T) - 1)) == 0 && w.token % 2 == 0 && width % 2 == 0};
}
