// Conversions between the types of storage.
#include "device.cuh"

KERNEL(narrow, (bf16 *dst, const float *src, i64 n), {
  for (i64 i = first_element(); i < n; i += element_stride()) from_float(dst + i, src[i]);
})

KERNEL(widen, (float *dst, const bf16 *src, i64 n), {
  for (i64 i = first_element(); i < n; i += element_stride()) dst[i] = to_float(src[i]);
})
