//go:build gpu && cgo

#include "enter.h"

static __thread CUcontext current;

CUresult driver_enter(CUcontext c) {
  if (current == c) return CUDA_SUCCESS;
  CUresult r = cuCtxSetCurrent(c);
  if (r == CUDA_SUCCESS) current = c;
  return r;
}
