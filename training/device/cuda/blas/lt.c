//go:build gpu && cgo

#include "lt.h"
#include <dlfcn.h>
#include <string.h>

// Attributes and values of cublasLt.h, the same from CUDA 11 to 13.
enum { DESC_TRANSPOSE_A = 3, DESC_TRANSPOSE_B = 4, DESC_EPILOGUE = 7, DESC_BIAS = 8, DESC_AUXILIARY = 11, DESC_AUXILIARY_LD = 12 };
enum { LAYOUT_BATCH = 5, LAYOUT_STRIDE = 6 };
enum { PREFERENCE_WORKSPACE = 1, PREFERENCE_REDUCTION = 3, PREFERENCE_ALIGNMENT_A = 5 };
enum { EPILOGUE_BIAS = 4, EPILOGUE_AUXILIARY = 128 };
enum { REDUCTION_COMPUTE_TYPE = 2 }; // parts of a sum go to the workspace and are added in a step of their own
enum { FLOAT32 = 0, NOT_SUPPORTED = 15, FOUND_AT_MOST = 8 };

typedef struct {
  uint64_t algorithm[8];
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
} found;

const char *blas_load(blas_library *l, const char *path) {
  void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!h) return dlerror();
  const struct {
    const char *name;
    void **f;
  } functions[] = {
      {"cublasLtGetVersion", (void **)&l->version},
      {"cublasLtCreate", (void **)&l->create},
      {"cublasLtDestroy", (void **)&l->destroy},
      {"cublasLtMatmulDescCreate", (void **)&l->desc_create},
      {"cublasLtMatmulDescSetAttribute", (void **)&l->desc_set},
      {"cublasLtMatmulDescDestroy", (void **)&l->desc_destroy},
      {"cublasLtMatrixLayoutCreate", (void **)&l->layout_create},
      {"cublasLtMatrixLayoutSetAttribute", (void **)&l->layout_set},
      {"cublasLtMatrixLayoutDestroy", (void **)&l->layout_destroy},
      {"cublasLtMatmulPreferenceCreate", (void **)&l->preference_create},
      {"cublasLtMatmulPreferenceSetAttribute", (void **)&l->preference_set},
      {"cublasLtMatmulPreferenceDestroy", (void **)&l->preference_destroy},
      {"cublasLtMatmulAlgoGetHeuristic", (void **)&l->heuristic},
      {"cublasLtMatmul", (void **)&l->matmul},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (!(*functions[i].f = dlsym(h, functions[i].name))) {
      const char *message = dlerror();
      dlclose(h);
      return message;
    }
  }
  return 0;
}

size_t blas_version(blas_library *l) { return l->version(); }

// The library's handle belongs to the device that is current.
int blas_open(blas_library *l) {
  int r = l->enter(l->context);
  return r ? r : l->create(&l->handle);
}

int blas_close(blas_library *l) {
  int r = l->enter(l->context);
  return r ? r : l->destroy(l->handle);
}

static int set(blas_library *l, void *desc, int attribute, const void *value, size_t size) { return l->desc_set(desc, attribute, value, size); }

static int layout(blas_library *l, void **out, int type, uint64_t rows, uint64_t columns, int64_t batch) {
  int count = (int)batch, r;
  int64_t stride = (int64_t)(rows * columns);
  if ((r = l->layout_create(out, type, rows, columns, (int64_t)rows)) || batch <= 1) return r;
  if ((r = l->layout_set(*out, LAYOUT_BATCH, &count, sizeof count))) return r;
  return l->layout_set(*out, LAYOUT_STRIDE, &stride, sizeof stride);
}

// The library's matrices are column-major: it is asked for the transposed product, of B and A, of which the same bytes are the operands.
static int describe(blas_library *l, blas_plan *p, const blas_product *of) {
  int r;
  uint64_t any = (uint64_t)of->alignment; // an address of this alignment, for the heuristic
  if ((r = l->desc_create(&p->desc, of->compute, FLOAT32))) return r;
  if ((r = set(l, p->desc, DESC_TRANSPOSE_A, &of->transpose_b, sizeof of->transpose_b))) return r;
  if ((r = set(l, p->desc, DESC_TRANSPOSE_B, &of->transpose_a, sizeof of->transpose_a))) return r;
  if ((r = set(l, p->desc, DESC_EPILOGUE, &of->epilogue, sizeof of->epilogue))) return r;
  if (of->epilogue & EPILOGUE_BIAS && (r = set(l, p->desc, DESC_BIAS, &any, sizeof any))) return r;
  if (of->epilogue & EPILOGUE_AUXILIARY) {
    if ((r = set(l, p->desc, DESC_AUXILIARY, &any, sizeof any))) return r;
    if ((r = set(l, p->desc, DESC_AUXILIARY_LD, &of->n, sizeof of->n))) return r;
  }
  if ((r = layout(l, &p->first, of->operands, of->transpose_b ? of->k : of->n, of->transpose_b ? of->n : of->k, of->batch))) return r;
  if ((r = layout(l, &p->second, of->operands, of->transpose_a ? of->m : of->k, of->transpose_a ? of->k : of->m, of->batch))) return r;
  return layout(l, &p->result, of->result, of->n, of->m, of->batch);
}

static int choose(blas_library *l, blas_plan *p, const blas_product *of, size_t workspace) {
  void *preference = 0;
  int r, n = 0;
  uint32_t reduction = REDUCTION_COMPUTE_TYPE, alignment = (uint32_t)of->alignment;
  if ((r = l->preference_create(&preference))) return r;
  r = l->preference_set(preference, PREFERENCE_WORKSPACE, &workspace, sizeof workspace);
  if (!r) r = l->preference_set(preference, PREFERENCE_REDUCTION, &reduction, sizeof reduction);
  for (int operand = 0; operand < 4 && !r; operand++)
    r = l->preference_set(preference, PREFERENCE_ALIGNMENT_A + operand, &alignment, sizeof alignment);
  found best[FOUND_AT_MOST];
  if (!r) r = l->heuristic(l->handle, p->desc, p->first, p->second, p->result, p->result, preference, FOUND_AT_MOST, best, &n);
  l->preference_destroy(preference);
  if (r) return r;
  for (int i = 0; i < n; i++) {
    if (best[i].state || best[i].workspace > workspace) continue;
    memcpy(p->algorithm, best[i].algorithm, sizeof p->algorithm);
    return 0;
  }
  return NOT_SUPPORTED;
}

int blas_prepare(blas_library *l, blas_plan *p, const blas_product *of, size_t workspace) {
  int r = l->enter(l->context);
  if (r) return r;
  p->epilogue = of->epilogue;
  if (!(r = describe(l, p, of))) r = choose(l, p, of, workspace);
  if (r) blas_forget(l, p);
  return r;
}

int blas_multiply(blas_library *l, blas_plan *p, const blas_operands *o, uint64_t workspace, size_t bytes, void *stream) {
  int r = l->enter(l->context);
  if (!r && p->epilogue & EPILOGUE_BIAS) r = set(l, p->desc, DESC_BIAS, &o->bias, sizeof o->bias);
  if (!r && p->epilogue & EPILOGUE_AUXILIARY) r = set(l, p->desc, DESC_AUXILIARY, &o->auxiliary, sizeof o->auxiliary);
  if (r) return r;
  return l->matmul(l->handle, p->desc, &o->alpha, (void *)o->b, p->first, (void *)o->a, p->second, &o->beta, (void *)o->c, p->result, (void *)o->d,
                   p->result, p->algorithm, (void *)workspace, bytes, stream);
}

void blas_forget(blas_library *l, blas_plan *p) {
  if (p->desc) l->desc_destroy(p->desc);
  if (p->first) l->layout_destroy(p->first);
  if (p->second) l->layout_destroy(p->second);
  if (p->result) l->layout_destroy(p->result);
  memset(p, 0, sizeof *p);
}
