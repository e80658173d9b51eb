// cuBLASLt as this package uses it: C types only, so that nothing of cuBLAS is needed to build.
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int (*enter)(void *);
  void *context;
  void *handle;
  size_t (*version)(void);
  int (*create)(void **);
  int (*destroy)(void *);
  int (*desc_create)(void **, int compute, int scale);
  int (*desc_set)(void *, int, const void *, size_t);
  int (*desc_destroy)(void *);
  int (*layout_create)(void **, int type, uint64_t rows, uint64_t columns, int64_t ld);
  int (*layout_set)(void *, int, const void *, size_t);
  int (*layout_destroy)(void *);
  int (*preference_create)(void **);
  int (*preference_set)(void *, int, const void *, size_t);
  int (*preference_destroy)(void *);
  int (*heuristic)(void *, void *, void *, void *, void *, void *, void *, int, void *, int *);
  int (*matmul)(void *, void *, const void *, const void *, void *, const void *, void *, const void *, const void *, void *, void *, void *,
                const void *, void *, size_t, void *);
} blas_library;

// A product of row-major matrices, dense, `batch` of them one after another.
typedef struct {
  int64_t m, n, k, batch;
  int transpose_a, transpose_b;
  int operands, result, compute; // cudaDataType, cudaDataType, cublasComputeType_t
  int epilogue;                  // cublasLtEpilogue_t
  int alignment;                 // bytes that divide all addresses
} blas_product;

typedef struct {
  void *desc, *first, *second, *result;
  uint64_t algorithm[8];
  int epilogue;
} blas_plan;

typedef struct {
  uint64_t a, b, c, d, bias, auxiliary;
  float alpha, beta;
} blas_operands;

// blas_load fills the functions from the library at path; the answer is a message, or null.
const char *blas_load(blas_library *l, const char *path);
size_t blas_version(blas_library *l);
int blas_open(blas_library *l);
int blas_close(blas_library *l);
int blas_prepare(blas_library *l, blas_plan *p, const blas_product *of, size_t workspace);
int blas_multiply(blas_library *l, blas_plan *p, const blas_operands *o, uint64_t workspace, size_t bytes, void *stream);
void blas_forget(blas_library *l, blas_plan *p);
