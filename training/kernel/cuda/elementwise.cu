// Functions of single elements.
#include "activation.cuh"
#include "rows.cuh"

// visit calls f(i) for every element, or pack(i) for every 16 bytes from element i on where `whole` says that all pointers are aligned.
template <class T, class P, class F> DEVICE void visit(i64 n, bool whole, P pack, F f) {
  i64 packs = whole ? n / Pack<T>::size : 0;
  for (i64 i = first_element(); i < packs; i += element_stride()) pack(i * Pack<T>::size);
  for (i64 i = packs * Pack<T>::size + first_element(); i < n; i += element_stride()) f(i);
}

// map is dst = f(x); binary is dst = f(a, b), ternary dst = f(a, b, c). dst may be an operand.
template <class T, class F> DEVICE void map(T *dst, const T *x, i64 n, F f) {
  visit<T>(
      n, aligned(dst) && aligned(x),
      [=](i64 i) {
        Pack<T> v = *(const Pack<T> *)(x + i);
        LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) from_float(&v.v[j], f(to_float(v.v[j])));
        *(Pack<T> *)(dst + i) = v;
      },
      [=](i64 i) { from_float(dst + i, f(to_float(x[i]))); });
}
template <class T, class F> DEVICE void binary(T *dst, const T *a, const T *b, i64 n, F f) {
  visit<T>(
      n, aligned(dst) && aligned(a) && aligned(b),
      [=](i64 i) {
        Pack<T> x = *(const Pack<T> *)(a + i), y = *(const Pack<T> *)(b + i);
        LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) from_float(&x.v[j], f(to_float(x.v[j]), to_float(y.v[j])));
        *(Pack<T> *)(dst + i) = x;
      },
      [=](i64 i) { from_float(dst + i, f(to_float(a[i]), to_float(b[i]))); });
}
template <class T, class F> DEVICE void ternary(T *dst, const T *a, const T *b, const T *c, i64 n, F f) {
  visit<T>(
      n, aligned(dst) && aligned(a) && aligned(b) && aligned(c),
      [=](i64 i) {
        Pack<T> x = *(const Pack<T> *)(a + i), y = *(const Pack<T> *)(b + i), z = *(const Pack<T> *)(c + i);
        LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) from_float(&x.v[j], f(to_float(x.v[j]), to_float(y.v[j]), to_float(z.v[j])));
        *(Pack<T> *)(dst + i) = x;
      },
      [=](i64 i) { from_float(dst + i, f(to_float(a[i]), to_float(b[i]), to_float(c[i]))); });
}

// dst = a + b
template <class T> DEVICE void add(T *dst, const T *a, const T *b, i64 n) {
  binary(dst, a, b, n, [](float x, float y) { return x + y; });
}
KERNELS(add, (T *dst, const T *a, const T *b, i64 n), (dst, a, b, n))

// dst = alpha x
template <class T> DEVICE void scale(T *dst, const T *x, float alpha, i64 n) {
  map(dst, x, n, [=](float v) { return alpha * v; });
}
KERNELS(scale, (T *dst, const T *x, float alpha, i64 n), (dst, x, alpha, n))

// dst += alpha x
template <class F, class T> DEVICE void axpy(T *dst, const F *x, float alpha, i64 n) {
  bool whole = aligned(dst) && aligned(x);
  each_part(1, n, [=](i64, i64 i, int elements) {
    float d[part], v[part];
    load(d, dst + i, elements, whole);
    load(v, x + i, elements, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) d[j] += alpha * v[j];
    store(dst + i, d, elements, whole);
  });
}
PAIRS(axpy, (T *dst, const F *x, float alpha, i64 n), (dst, x, alpha, n))

// y = f(x)
template <class T> DEVICE void activate(T *y, const T *x, int kind, i64 n) {
  map(y, x, n, [=](float v) { return activation(kind, v); });
}
KERNELS(activate, (T *y, const T *x, int kind, i64 n), (y, x, kind, n))

// dx (+)= dy f'(x)
template <class T> DEVICE void activate_backward(T *dx, const T *x, const T *dy, int kind, int accumulate, i64 n) {
  if (accumulate)
    ternary(dx, x, dy, dx, n, [=](float v, float d, float old) { return old + d * slope(kind, v); });
  else
    binary(dx, x, dy, n, [=](float v, float d) { return d * slope(kind, v); });
}
KERNELS(activate_backward, (T *dx, const T *x, const T *dy, int kind, int accumulate, i64 n), (dx, x, dy, kind, accumulate, n))

// y = silu(gate) up; the rows of gate and up are ld apart.
template <class T> DEVICE void swiglu(T *y, const T *gate, const T *up, i64 ld, i64 rows, i64 cols) {
  bool whole = packed(y, cols) && packed(gate, ld) && packed(up, ld);
  each_part(rows, cols, [=](i64 r, i64 c, int n) {
    float g[part], u[part];
    load(g, gate + r * ld + c, n, whole);
    load(u, up + r * ld + c, n, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) g[j] *= sigmoid(g[j]) * u[j];
    store(y + r * cols + c, g, n, whole);
  });
}
KERNELS(swiglu, (T *y, const T *gate, const T *up, i64 ld, i64 rows, i64 cols), (y, gate, up, ld, rows, cols))

template <class T>
DEVICE void swiglu_backward(T *dgate, T *dup, const T *gate, const T *up, const T *dy, i64 ld, i64 rows, i64 cols) {
  bool whole = packed(dy, cols) && packed(gate, ld) && packed(up, ld) && packed(dgate, ld) && packed(dup, ld);
  each_part(rows, cols, [=](i64 r, i64 c, int n) {
    float g[part], u[part], d[part];
    i64 at = r * ld + c;
    load(g, gate + at, n, whole);
    load(u, up + at, n, whole);
    load(d, dy + r * cols + c, n, whole);
    LOOP_UNROLLED for (int j = 0; j < part; j++) {
      float s = sigmoid(g[j]), silu = g[j] * s;
      g[j] = d[j] * u[j] * (s + silu * (1.f - s));
      u[j] = d[j] * silu;
    }
    store(dgate + at, g, n, whole);
    store(dup + at, u, n, whole);
  });
}
KERNELS(swiglu_backward, (T *dgate, T *dup, const T *gate, const T *up, const T *dy, i64 ld, i64 rows, i64 cols),
        (dgate, dup, gate, up, dy, ld, rows, cols))

// y = x + p, row r taking row r mod period of p
template <class F, class T> DEVICE void add_rows(T *y, const T *x, const F *p, i64 period, i64 rows, i64 cols) {
  bool whole = packed(y, cols) && packed(x, cols) && packed(p, cols);
  each_part(rows, cols, [=](i64 r, i64 c, int n) {
    i64 turn, row;
    split(r, period, &turn, &row);
    float v[part], w[part];
    load(v, x + r * cols + c, n, whole);
    load(w, p + row * cols + c, n, whole);
    add_to(v, w);
    store(y + r * cols + c, v, n, whole);
  });
}
PAIRS(add_rows, (T *y, const T *x, const F *p, i64 period, i64 rows, i64 cols), (y, x, p, period, rows, cols))

// dst = x + p[0]
template <class F, class T> DEVICE void add_one(T *y, const T *x, const F *p, i64 n) {
  float v = to_float(*p);
  map(y, x, n, [=](float a) { return a + v; });
}
PAIRS(add_one, (T *y, const T *x, const F *p, i64 n), (y, x, p, n))

enum { TIMES, TIMES_EXP, DIVIDED_BY }; // in the order of device.Factor

// y (+)= f(s) x
template <class T> DEVICE void scale_by(T *y, const T *x, const float *s, int factor, int accumulate, i64 n) {
  float f = factor == TIMES_EXP ? expf(*s) : factor == DIVIDED_BY ? 1.f / *s : *s;
  if (accumulate)
    binary(y, x, y, n, [=](float v, float old) { return old + f * v; });
  else
    map(y, x, n, [=](float v) { return f * v; });
}
KERNELS(scale_by, (T *y, const T *x, const float *s, int factor, int accumulate, i64 n), (y, x, s, factor, accumulate, n))
