// Functions of single elements.
#include "device.cuh"

// visit calls f(i) for every element, or packed(i) for every 16 bytes from element i on where `whole` says that all pointers are aligned.
template <class T, class P, class F> DEVICE void visit(i64 n, bool whole, P packed, F f) {
  i64 packs = whole ? n / Pack<T>::size : 0;
  for (i64 i = first_element(); i < packs; i += element_stride()) packed(i * Pack<T>::size);
  for (i64 i = packs * Pack<T>::size + first_element(); i < n; i += element_stride()) f(i);
}

// dst = a + b
template <class T> DEVICE void add(T *dst, const T *a, const T *b, i64 n) {
  visit<T>(
      n, aligned(dst) && aligned(a) && aligned(b),
      [=](i64 i) {
        Pack<T> x = *(const Pack<T> *)(a + i), y = *(const Pack<T> *)(b + i);
        LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) from_float(&x.v[j], to_float(x.v[j]) + to_float(y.v[j]));
        *(Pack<T> *)(dst + i) = x;
      },
      [=](i64 i) { from_float(dst + i, to_float(a[i]) + to_float(b[i])); });
}
KERNELS(add, (T *dst, const T *a, const T *b, i64 n), (dst, a, b, n))

// dst = alpha x
template <class T> DEVICE void scale(T *dst, const T *x, float alpha, i64 n) {
  for (i64 i = first_element(); i < n; i += element_stride()) from_float(dst + i, alpha * to_float(x[i]));
}
KERNELS(scale, (T *dst, const T *x, float alpha, i64 n), (dst, x, alpha, n))

// dst += alpha x
template <class T> DEVICE void axpy(T *dst, const T *x, float alpha, i64 n) {
  for (i64 i = first_element(); i < n; i += element_stride()) from_float(dst + i, to_float(dst[i]) + alpha * to_float(x[i]));
}
KERNELS(axpy, (T *dst, const T *x, float alpha, i64 n), (dst, x, alpha, n))
