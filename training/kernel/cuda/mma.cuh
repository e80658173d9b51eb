// Matrix instructions and asynchronous copies: bfloat16 products of warps with sums in float32 (compute capability 8.0).
//
// A warp multiplies a 16 x 16 matrix A by a 16 x 8 matrix B. With g = lane / 4 and t = lane % 4, lane holds in pairs of neighbouring elements
//   A, four words:   rows g, g + 8, g, g + 8 at columns 2t, 2t, 2t + 8, 2t + 8
//   B, two words:    column g at rows 2t, 2t + 8
//   C, four floats:  row g at columns 2t and 2t + 1, then row g + 8 at the same
// the lower element of a pair in the lower half of the word. From tiles in shared memory that are stored by rows, load_matrices reads the words of A
// where lane l names row l % 16 at column 8 (l / 16), and load_matrices_transposed those of two neighbouring B, two words each, where it names the same.
#pragma once
#include "device.cuh"

#ifdef __CUDACC__

// multiply_add: c += a b.
DEVICE void multiply_add(float (&c)[4], const u32 (&a)[4], const u32 *b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// load_matrices reads four 8 x 8 matrices of shared memory: lane l names row l % 8 of matrix l / 8, 16 bytes at an address that they divide.
// Lane l receives in word i row l / 4 of matrix i at columns 2 (l % 4) and the next.
DEVICE void load_matrices(u32 (&r)[4], const bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"((u32)__cvta_generic_to_shared(row)));
}

// load_matrices_transposed is load_matrices of the transposed matrices.
DEVICE void load_matrices_transposed(u32 (&r)[4], const bf16 *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"((u32)__cvta_generic_to_shared(row)));
}

// copy_async copies 16 bytes from global to shared memory, or clears them where there is nothing to copy. Both addresses are multiples of 16.
DEVICE void copy_async(void *shared, const void *global, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"((u32)__cvta_generic_to_shared(shared)), "l"(global), "r"(there ? 16 : 0));
}

// end_copies makes one group of the thread's copies since the last; wait_copies waits until all but the last `open` groups have arrived. Other
// threads see them after a barrier.
DEVICE void end_copies() { asm volatile("cp.async.commit_group;" ::); }
template <int open> DEVICE void wait_copies() { asm volatile("cp.async.wait_group %0;" ::"n"(open)); }

// pair is two elements in a word, the first in the lower half.
DEVICE u32 pair(float low, float high) {
  __nv_bfloat162 p = __floats2bfloat162_rn(low, high);
  return *(u32 *)&p;
}

#else
#include "fake/mma.h"
#endif
