// Rows in parts of eight elements, and kernels of two types.
#pragma once
#include "device.cuh"

// PAIRS(name, parameters, arguments) makes name_f32_f32, name_f32_bf16, name_bf16_f32 and name_bf16_bf16 of a function template name<F, T>.
#define PAIRS(name, parameters, arguments)                 \
  PAIR(name, f32, float, f32, float, parameters, arguments) \
  PAIR(name, f32, float, bf16, bf16, parameters, arguments) \
  PAIR(name, bf16, bf16, f32, float, parameters, arguments) \
  PAIR(name, bf16, bf16, bf16, bf16, parameters, arguments)

#define PAIR(name, from, from_type, to, to_type, parameters, arguments)       \
  namespace name##_of_##from##_##to {                                         \
  typedef from_type F;                                                        \
  typedef to_type T;                                                          \
  SINGLE_KERNEL(name##_##from##_##to) parameters { name<F, T> arguments; }     \
  }                                                                           \
  REGISTER(name##_of_##from##_##to, name##_##from##_##to)

// part is the elements of a row that a thread handles at once.
constexpr int part = 8;

// packed tells whether all parts of a matrix whose rows are ld apart can be moved in packs.
template <class T> DEVICE bool packed(const T *p, i64 ld) { return aligned(p) && ld * (int)sizeof(T) % 16 == 0; }

// load reads n elements, in packs where `whole` says that p allows it; the rest is 0.
template <class T> DEVICE void load(float (&v)[part], const T *p, int n, bool whole) {
  constexpr int size = Pack<T>::size;
  if (whole && n == part) {
    LOOP_UNROLLED for (int k = 0; k < part; k += size) {
      Pack<T> x = *(const Pack<T> *)(p + k);
      LOOP_UNROLLED for (int j = 0; j < size; j++) v[k + j] = to_float(x.v[j]);
    }
    return;
  }
  LOOP_UNROLLED for (int j = 0; j < part; j++) v[j] = j < n ? to_float(p[j]) : 0.f;
}

template <class T> DEVICE void store(T *p, const float (&v)[part], int n, bool whole) {
  constexpr int size = Pack<T>::size;
  if (whole && n == part) {
    LOOP_UNROLLED for (int k = 0; k < part; k += size) {
      Pack<T> x;
      LOOP_UNROLLED for (int j = 0; j < size; j++) from_float(&x.v[j], v[k + j]);
      *(Pack<T> *)(p + k) = x;
    }
    return;
  }
  LOOP_UNROLLED for (int j = 0; j < part; j++)
    if (j < n) from_float(p + j, v[j]);
}

DEVICE void add_to(float (&sum)[part], const float (&v)[part]) {
  LOOP_UNROLLED for (int j = 0; j < part; j++) sum[j] += v[j];
}

// split is i / n and i % n; small numbers take the short division.
DEVICE void split(i64 i, i64 n, i64 *quotient, i64 *rest) {
  if ((i | n) >> 32 == 0) {
    u32 q = (u32)i / (u32)n;
    *quotient = q, *rest = (u32)i - q * (u32)n;
    return;
  }
  *quotient = i / n, *rest = i % n;
}

// each_part calls f(row, column, elements) for the parts of rows x cols, one a thread at a time, neighbours in neighbouring threads.
template <class F> DEVICE void each_part(i64 rows, i64 cols, F f) {
  i64 parts = (cols + part - 1) / part;
  for (i64 i = first_element(); i < rows * parts; i += element_stride()) {
    i64 row, column;
    split(i, parts, &row, &column);
    column *= part;
    f(row, column, (int)min((i64)part, cols - column));
  }
}
