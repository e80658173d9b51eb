// Sorting of positions by a small key, equal keys in their order: one pass for each eight bits of the key, the lowest first.
//
// A pass counts the digits of each tile of 2048 positions, turns the counts into places (digit by digit, tile by tile), and moves the positions.
#include "device.cuh"

constexpr int tile = 2048, digits = 256, warps = 8; // 256 threads, digits' thread each; a warp has an eighth of the tile

// key is that of a position: what is no row of the table comes last.
DEVICE u32 key(const int *keys, int position, int limit) {
  int k = keys[position];
  return (u32)(k < 0 || k >= limit ? limit : k);
}

// peers are the lanes whose digit is the lane's own. Lanes that are not there have the digit 256.
DEVICE u32 peers(u32 digit) {
  u32 same = 0xffffffffu;
  for (int bit = 0; bit < 9; bit++) {
    u32 set = __ballot_sync(0xffffffffu, digit >> bit & 1);
    same &= digit >> bit & 1 ? set : ~set;
  }
  return same;
}

// walk visits the warp's positions of the tile, 32 at a time: f(position, digit, its rank among those of the warp that have the digit). counts are
// the warp's, and have the number of each digit in the end.
template <class F> DEVICE void walk(const int *in, const int *keys, int n, int limit, int shift, int *counts, F f) {
  int lane = threadIdx.x & 31, from = blockIdx.x * tile + (threadIdx.x >> 5) * (tile / warps);
  for (int d = lane; d < digits; d += 32) counts[d] = 0;
  __syncwarp();
  for (int k = 0; k < tile / warps; k += 32) {
    int i = from + k + lane, position = i < n ? (in ? in[i] : i) : 0;
    u32 digit = i < n ? key(keys, position, limit) >> shift & 255 : 256, same = peers(digit);
    int before = __popc(same & ((1u << lane) - 1));
    if (digit < 256) f(position, digit, counts[digit] + before);
    __syncwarp();
    if (digit < 256 && before == 0) counts[digit] += __popc(same);
    __syncwarp();
  }
}

// counts[digit * tiles + tile]
KERNEL(order_count, (int *counts, const int *in, const int *keys, int n, int limit, int shift), {
  SHARED(int, own, warps * digits);
  walk(in, keys, n, limit, shift, own + (threadIdx.x >> 5) * digits, [](int, u32, int) {});
  __syncthreads();
  int sum = 0;
  for (int w = 0; w < warps; w++) sum += own[w * digits + threadIdx.x];
  counts[threadIdx.x * gridDim.x + blockIdx.x] = sum;
})

// Each of n counts becomes the sum of those before it, by one block of 1024 threads.
KERNEL(order_scan, (int *counts, int n), {
  SHARED(int, sums, 32);
  int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, base = 0;
  for (int at = 0; at < n; at += 8 * 1024) {
    int first = at + threadIdx.x * 8, own[8], sum = 0;
    LOOP_UNROLLED for (int j = 0; j < 8; j++) {
      own[j] = first + j < n ? counts[first + j] : 0;
      sum += own[j];
    }
    int upto = sum; // the sum of this thread and those before it in the warp, then in the block
    for (int o = 1; o < 32; o <<= 1) {
      int v = __shfl_up_sync(0xffffffffu, upto, o);
      if (lane >= o) upto += v;
    }
    if (lane == 31) sums[warp] = upto;
    __syncthreads();
    int all = sums[lane];
    for (int o = 1; o < 32; o <<= 1) {
      int v = __shfl_up_sync(0xffffffffu, all, o);
      if (lane >= o) all += v;
    }
    int before = __shfl_sync(0xffffffffu, all, max(0, warp - 1));
    int place = base + upto - sum + (warp > 0 ? before : 0);
    LOOP_UNROLLED for (int j = 0; j < 8; j++) {
      if (first + j < n) counts[first + j] = place;
      place += own[j];
    }
    base += __shfl_sync(0xffffffffu, all, 31);
    __syncthreads();
  }
})

KERNEL(order_move, (int *out, const int *places, const int *in, const int *keys, int n, int limit, int shift), {
  SHARED(int, own, warps * digits);
  int *counts = own + (threadIdx.x >> 5) * digits;
  walk(in, keys, n, limit, shift, counts, [](int, u32, int) {});
  __syncthreads();
  int place = places[threadIdx.x * gridDim.x + blockIdx.x];
  for (int w = 0; w < warps; w++) {
    int count = own[w * digits + threadIdx.x];
    own[w * digits + threadIdx.x] = place;
    place += count;
  }
  __syncthreads();
  SHARED(int, again, warps * digits);
  walk(in, keys, n, limit, shift, again + (threadIdx.x >> 5) * digits, [=](int position, u32 digit, int rank) { out[counts[digit] + rank] = position; });
})
