// A stand-in for cuBLASLt's functions that package blas uses. Arguments are checked as the documentation says; sums are float64.
#include "device.h"
#include "host.h"
#include <memory>

namespace fake {
namespace {
enum { OK = 0, INVALID = 7, UNSUPPORTED = 15 };
enum { FLOAT32 = 0, BFLOAT16 = 14, COMPUTE_32F = 68, COMPUTE_TF32 = 77 };
enum { EPILOGUE_BIAS = 4, EPILOGUE_GELU = 32, EPILOGUE_AUXILIARY = 128 };

struct Desc {
  int compute, scale, transpose_a = 0, transpose_b = 0;
  uint32_t epilogue = 1;
  uint64_t bias = 0, auxiliary = 0;
  int64_t auxiliary_ld = 0;
};
struct Layout {
  int type;
  uint64_t rows, columns;
  int64_t ld;
  int batch = 1;
  int64_t stride = 0;
  size_t size() const { return type == BFLOAT16 ? 2 : 4; }
  size_t bytes() const { return ((batch - 1) * stride + (columns - 1) * ld + rows) * size(); }
};
struct Preference {
  uint64_t workspace = 0;
  uint32_t reduction = 7, alignment[4] = {256, 256, 256, 256};
};
// Algorithm is what the heuristic knew, so that a product with other operands is found out.
struct Algorithm {
  uint64_t mark, rows, columns, inner;
  uint32_t epilogue, alignment[4];
  uint64_t workspace;
};
static_assert(sizeof(Algorithm) == 64, "an algorithm is 64 bytes");
struct Found {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};
struct Matmul {
  Desc desc;
  Layout a, b, c, d;
  uint64_t inner() const { return desc.transpose_a ? a.rows : a.columns; }
};

template <class T> int take(T *to, const void *from, size_t n) {
  if (n != sizeof(T)) return INVALID;
  memcpy(to, from, n);
  return OK;
}

// fits tells whether the shapes agree, and the documented rules for leading dimensions hold.
bool fits(const Matmul &m) {
  const Desc &o = m.desc;
  uint64_t rows = o.transpose_a ? m.a.columns : m.a.rows, columns = o.transpose_b ? m.b.rows : m.b.columns;
  uint64_t inner = o.transpose_b ? m.b.columns : m.b.rows;
  if (inner != m.inner() || rows != m.d.rows || columns != m.d.columns || m.c.rows != rows || m.c.columns != columns) return false;
  for (const Layout *l : {&m.a, &m.b, &m.c, &m.d})
    if (!l->rows || !l->columns || l->ld < (int64_t)l->rows || l->batch != m.d.batch || (l->batch > 1 && l->stride < 0)) return false;
  return m.c.type == m.d.type && m.a.type == m.b.type;
}

// supported tells whether there is an algorithm. Matrices of bfloat16 that begin rows at odd multiples of two bytes have none here: devices may have one,
// but nobody may rely on it.
bool supported(const Matmul &m) {
  const Desc &o = m.desc;
  bool whole = m.a.type == FLOAT32 && m.d.type == FLOAT32, narrow = m.a.type == BFLOAT16;
  if (o.scale != FLOAT32 || !(o.compute == COMPUTE_32F || (o.compute == COMPUTE_TF32 && whole)) || !(whole || narrow)) return false;
  if (o.epilogue & ~(1u | EPILOGUE_BIAS | EPILOGUE_GELU | EPILOGUE_AUXILIARY)) return false;
  if (o.epilogue & EPILOGUE_AUXILIARY && (o.auxiliary_ld % 8 || o.auxiliary_ld < (int64_t)m.d.rows || o.auxiliary % 16)) return false;
  for (const Layout *l : {&m.a, &m.b, &m.c, &m.d})
    if (l->type == BFLOAT16 && l->ld % 2) return false;
  return true;
}

float gelu(float x) { return 0.5f * x * (1 + tanhf(0.7978845608f * (x + 0.044715f * x * x * x))); }

float at(const Layout &l, uint64_t base, int64_t i) { return l.type == BFLOAT16 ? to_float(((const bf16 *)base)[i]) : ((const float *)base)[i]; }
void put(const Layout &l, uint64_t base, int64_t i, float v) {
  if (l.type == BFLOAT16)
    from_float((bf16 *)base + i, v);
  else
    ((float *)base)[i] = v;
}
// operand is an element as it is multiplied.
float operand(const Matmul &m, const Layout &l, uint64_t base, int64_t i) {
  float v = at(l, base, i);
  if (m.desc.compute != COMPUTE_TF32) return v;
  uint32_t x;
  memcpy(&x, &v, 4);
  x = (x + 0xfff + ((x >> 13) & 1)) & ~0x1fffu;
  memcpy(&v, &x, 4);
  return v;
}

struct Addresses {
  uint64_t a, b, c, d;
  float alpha, beta;
};

void multiply(const Matmul &m, const Addresses &p) {
  const Desc &o = m.desc;
  std::vector<float> b(m.inner());
  for (int batch = 0; batch < m.d.batch; batch++)
    for (uint64_t j = 0; j < m.d.columns; j++) {
      for (uint64_t k = 0; k < m.inner(); k++) b[k] = operand(m, m.b, p.b, batch * m.b.stride + (o.transpose_b ? k * m.b.ld + j : j * m.b.ld + k));
      for (uint64_t i = 0; i < m.d.rows; i++) {
        double sum = 0;
        for (uint64_t k = 0; k < m.inner(); k++)
          sum += (double)operand(m, m.a, p.a, batch * m.a.stride + (o.transpose_a ? i * m.a.ld + k : k * m.a.ld + i)) * b[k];
        float v = float(p.alpha * sum);
        int64_t at_d = batch * m.d.stride + j * m.d.ld + i;
        if (p.beta != 0) v += p.beta * at(m.c, p.c, batch * m.c.stride + j * m.c.ld + i);
        if (o.epilogue & EPILOGUE_BIAS) v += at(m.d, o.bias, i);
        if (o.epilogue & EPILOGUE_AUXILIARY) put(m.d, o.auxiliary, j * o.auxiliary_ld + i, v);
        if (o.epilogue & EPILOGUE_GELU) v = gelu(v);
        put(m.d, p.d, at_d, v);
      }
    }
}
int handle; // what handles point at
constexpr uint64_t mark = 0x7465737420646576;
} // namespace
} // namespace fake

using namespace fake;
typedef void *P;

extern "C" {
size_t cublasLtGetVersion() { return 120805; }
int cublasLtCreate(P *h) { *h = &handle; return OK; }
int cublasLtDestroy(P h) { return h == &handle ? OK : INVALID; }
int cublasLtMatmulDescCreate(P *d, int compute, int scale) { *d = new Desc{compute, scale}; return OK; }
int cublasLtMatmulDescDestroy(P d) { delete (Desc *)d; return OK; }
int cublasLtMatmulDescSetAttribute(P p, int attribute, const void *v, size_t n) {
  Desc *d = (Desc *)p;
  switch (attribute) {
  case 3: return take(&d->transpose_a, v, n);
  case 4: return take(&d->transpose_b, v, n);
  case 7: return take(&d->epilogue, v, n);
  case 8: return take(&d->bias, v, n);
  case 11: return take(&d->auxiliary, v, n);
  case 12: return take(&d->auxiliary_ld, v, n);
  default: return INVALID;
  }
}
int cublasLtMatrixLayoutCreate(P *l, int type, uint64_t rows, uint64_t columns, int64_t ld) {
  *l = new Layout{type, rows, columns, ld};
  return OK;
}
int cublasLtMatrixLayoutDestroy(P l) { delete (Layout *)l; return OK; }
int cublasLtMatrixLayoutSetAttribute(P p, int attribute, const void *v, size_t n) {
  Layout *l = (Layout *)p;
  switch (attribute) {
  case 5: return take(&l->batch, v, n);
  case 6: return take(&l->stride, v, n);
  default: return INVALID;
  }
}
int cublasLtMatmulPreferenceCreate(P *p) { *p = new Preference; return OK; }
int cublasLtMatmulPreferenceDestroy(P p) { delete (Preference *)p; return OK; }
int cublasLtMatmulPreferenceSetAttribute(P q, int attribute, const void *v, size_t n) {
  Preference *p = (Preference *)q;
  switch (attribute) {
  case 1: return take(&p->workspace, v, n);
  case 3: return take(&p->reduction, v, n);
  case 5: case 6: case 7: case 8: return take(&p->alignment[attribute - 5], v, n);
  default: return INVALID;
  }
}
int cublasLtMatmulAlgoGetHeuristic(P h, P desc, P a, P b, P c, P d, P preference, int most, Found *found, int *n) {
  Matmul m{*(Desc *)desc, *(Layout *)a, *(Layout *)b, *(Layout *)c, *(Layout *)d};
  Preference *p = (Preference *)preference;
  *n = 0;
  if (h != &handle || most < 1 || !fits(m)) return INVALID;
  if (!supported(m)) return UNSUPPORTED;
  if (p->reduction & 1) return UNSUPPORTED; // the backend must not have sums in place: their order is not fixed
  memset(found, 0, sizeof *found);
  found->algorithm = {mark, m.d.rows, m.d.columns, m.inner(), m.desc.epilogue, {p->alignment[0], p->alignment[1], p->alignment[2], p->alignment[3]}, p->workspace};
  found->workspace = p->workspace;
  *n = 1;
  return OK;
}
int cublasLtMatmul(P h, P desc, const float *alpha, P a, P la, P b, P lb, const float *beta, P c, P lc, P d, P ld, const Algorithm *algorithm, P workspace,
                   size_t bytes, P stream) {
  Matmul m{*(Desc *)desc, *(Layout *)la, *(Layout *)lb, *(Layout *)lc, *(Layout *)ld};
  const Algorithm &g = *algorithm;
  if (h != &handle || !fits(m)) return INVALID;
  if (!supported(m)) return UNSUPPORTED;
  if (g.mark != mark || g.rows != m.d.rows || g.columns != m.d.columns || g.inner != m.inner() || g.epilogue != m.desc.epilogue) return INVALID;
  if (bytes < g.workspace || (uint64_t)workspace % 256 || !range(stream, (uint64_t)workspace, bytes)) return INVALID;
  Addresses p{(uint64_t)a, (uint64_t)b, (uint64_t)c, (uint64_t)d, *alpha, *beta};
  if (p.a % g.alignment[0] || p.b % g.alignment[1] || p.c % g.alignment[2] || p.d % g.alignment[3]) return INVALID;
  if (!range(stream, p.a, m.a.bytes()) || !range(stream, p.b, m.b.bytes()) || !range(stream, p.d, m.d.bytes())) return INVALID;
  if (p.beta != 0 && !range(stream, p.c, m.c.bytes())) return INVALID;
  if (m.desc.epilogue & EPILOGUE_BIAS && !range(stream, m.desc.bias, m.d.rows * m.d.size())) return INVALID;
  if (m.desc.epilogue & EPILOGUE_AUXILIARY && !range(stream, m.desc.auxiliary, m.d.columns * m.desc.auxiliary_ld * m.d.size())) return INVALID;
  return emit(stream, [=] { multiply(m, p); });
}
}
