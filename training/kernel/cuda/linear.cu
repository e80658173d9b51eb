// Matrix products that cuBLASLt has no algorithm for, and what follows a product.
#include "tile.cuh"
#include "activation.cuh"

// d = alpha op(a) op(b) + beta c on row-major matrices, blockIdx.z of a batch of them. op(a) is m x k, op(b) k x n. One block computes
// a tile. Sizes that vectors divide are cuBLASLt's, so this reads element by element.
template <class T>
DEVICE void product(const T *a, const T *b, const void *c, void *d, i64 m, i64 n, i64 k, float alpha, float beta, int transpose_a, int transpose_b, int wide) {
  i64 across = (n + tile_side - 1) / tile_side, m0 = blockIdx.x / across * tile_side, n0 = blockIdx.x % across * tile_side, batch = blockIdx.z;
  i64 at = batch * m * n * (wide ? 4 : 2);
  Matrix<T> x{a + batch * m * k, m, k, transpose_a != 0}, y{b + batch * k * n, n, k, transpose_b == 0};
  Tile<T, false, true>::run(x, y, m0, n0, k, {(char *)d + at, (const char *)c + at, m, n, alpha, beta, wide != 0});
}
KERNELS(product,
        (const T *a, const T *b, const void *c, void *d, i64 m, i64 n, i64 k, float alpha, float beta, int transpose_a, int transpose_b, int wide),
        (a, b, c, d, m, n, k, alpha, beta, transpose_a, transpose_b, wide))

// pre = from + bias; c = activation(pre) + residual. bias, pre and residual may be null; from may be c or pre.
template <class T> DEVICE void finish(T *c, const T *from, const float *bias, T *pre, const T *residual, i64 rows, i64 columns, int kind) {
  auto one = [=](T x, i64 i, T *kept) {
    float v = to_float(x);
    if (bias) v += bias[i % columns];
    from_float(kept, v);
    v = activation(kind, v);
    return residual ? v + to_float(residual[i]) : v;
  };
  i64 n = rows * columns, size = Pack<T>::size;
  bool whole = aligned(c) && aligned(from) && aligned(pre);
  i64 packs = whole ? n / size : 0;
  for (i64 p = first_element(); p < packs; p += element_stride()) {
    Pack<T> x = *(const Pack<T> *)(from + p * size), kept;
    LOOP_UNROLLED for (int j = 0; j < Pack<T>::size; j++) from_float(&x.v[j], one(x.v[j], p * size + j, &kept.v[j]));
    if (pre) *(Pack<T> *)(pre + p * size) = kept;
    *(Pack<T> *)(c + p * size) = x;
  }
  for (i64 i = packs * size + first_element(); i < n; i += element_stride()) {
    T kept;
    float v = one(from[i], i, &kept);
    if (pre) pre[i] = kept;
    from_float(c + i, v);
  }
}
KERNELS(finish, (T *c, const T *from, const float *bias, T *pre, const T *residual, i64 rows, i64 columns, int kind),
        (c, from, bias, pre, residual, rows, columns, kind))
