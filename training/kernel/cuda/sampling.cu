// The choice of a token by each of several rows of logits. A block has a row; whatever it adds up it adds up in integers, so that the order does not matter.
#include "softmax.cuh"

typedef unsigned long long u64;

constexpr int pick_threads = 1024, pick_warps = pick_threads / 32;
constexpr float mass = 68719476736.f; // 2^36: that many units are the probability 1

// Ask is how a row chooses, as device.PickArgs has it.
struct Ask {
  float inverse; // of the temperature; 0: the likeliest token
  int top_k;
  float top_p, min_p;
  u32 low, high; // of the draw
};

// Cut is which tokens may be drawn: those whose probability has larger bits, and of those that have the same the ones up to `last`.
struct Cut {
  u32 bits;
  int last;
};

// Row is a row of logits on the way to a choice: what all threads of the block know of it, and memory that they share.
struct Row {
  const float *logits;
  int vocab;
  float inverse, top, scale; // probability = exp((logit - top) inverse) scale
  float least;               // probability that may be drawn
  Cut cut;
  u32 *histogram;  // 2 * 2048
  u64 *sums;       // by warp
  u64 *found;      // of one thread, for all

  MEMBER float probability(int i) const { return fast_exp((logits[i] - top) * inverse) * scale; }
  MEMBER u32 bits(int i) const { return __float_as_int(probability(i)); }
  MEMBER bool keeps(u32 p, int i) const { return p > 0 && (p > cut.bits || (p == cut.bits && i <= cut.last)) && __int_as_float(p) >= least; }
  // Units of a probability above 0: at least one.
  static MEMBER u64 units(u32 p) { return max((u64)1, (u64)(__int_as_float(p) * mass + 0.5f)); }

  // share tells the first and the last token, exclusive, of a warp.
  MEMBER void share(int warp, int *first, int *last) const {
    int each = (vocab + pick_warps - 1) / pick_warps;
    *first = min(vocab, warp * each);
    *last = min(vocab, *first + each);
  }

  // total adds up weight(i) over all tokens, and leaves the sums of the warps.
  template <class W> MEMBER u64 total(W weight) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, first, last;
    share(warp, &first, &last);
    u64 sum = 0;
    for (int i = first + lane; i < last; i += 32) sum += weight(i);
    for (int o = 16; o > 0; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
    __syncthreads();
    if (lane == 0) sums[warp] = sum;
    __syncthreads();
    u64 all = 0;
    for (int w = 0; w < pick_warps; w++) all += sums[w];
    return all;
  }

  // locate is the first token up to which the weights, whose total has just been taken and is more than target, are more than target.
  template <class W> MEMBER int locate(W weight, u64 target) {
    int warp = threadIdx.x >> 5, lane = threadIdx.x & 31, first, last;
    u64 before = 0;
    for (int w = 0; w < warp; w++) before += sums[w];
    if (before <= target && target < before + sums[warp]) { // one warp only
      share(warp, &first, &last);
      for (int at = first; at < last; at += 32) {
        u64 sum = at + lane < last ? weight(at + lane) : 0;
        for (int o = 1; o < 32; o <<= 1) {
          u64 left = __shfl_up_sync(0xffffffffu, sum, o);
          if (lane >= o) sum += left;
        }
        u32 reached = __ballot_sync(0xffffffffu, before + sum > target);
        if (reached) {
          if (lane == 0) *found = at + __ffs(reached) - 1;
          break;
        }
        before += __shfl_sync(0xffffffffu, sum, 31);
      }
    }
    __syncthreads();
    return (int)*found;
  }

  MEMBER u64 counted(int digit) const { return histogram[digit] + ((u64)histogram[2048 + digit] << 12); }

  // descend goes down the digits until what is above and what they count reach a target: found is the digit, what is above it, and its count. The warp's lanes
  // have parts of the digits, lane 0 the highest.
  MEMBER void descend(int most, u64 above, u64 target) {
    int each = (most + 1) / 32, lane = threadIdx.x & 31, high = most - lane * each;
    u64 sum = 0;
    for (int d = 0; d < each; d++) sum += counted(high - d);
    u64 before = above + sum;
    for (int o = 1; o < 32; o <<= 1) {
      u64 left = __shfl_up_sync(0xffffffffu, before - above, o);
      if (lane >= o) before += left;
    }
    u32 reached = __ballot_sync(0xffffffffu, before >= target);
    if (lane != (reached ? __ffs(reached) - 1 : 31)) return;
    before -= sum;
    for (int digit = high;; digit--) {
      u64 w = counted(digit);
      if (before + w >= target || digit == most + 1 - (lane + 1) * each) {
        found[0] = digit, found[1] = before, found[2] = w;
        return;
      }
      before += w;
    }
  }

  // reach cuts to the fewest of the likeliest tokens whose weights, 1 or units, reach a target. Three rounds find the bits of the least likely of them.
  MEMBER void reach(u64 target, bool counts) {
    u32 prefix = 0;
    u64 above = 0;
    for (int shift = 21, width = 11; shift >= 0; width = shift == 21 ? 11 : 10, shift -= width) {
      u32 mask = (1u << width) - 1;
      __syncthreads();
      for (int i = threadIdx.x; i < 2 * 2048; i += blockDim.x) histogram[i] = 0;
      __syncthreads();
      for (int i = threadIdx.x; i < vocab; i += blockDim.x) {
        u32 p = bits(i);
        if (!keeps(p, i) || (shift < 21 && p >> (shift + width) != prefix >> (shift + width))) continue;
        u64 w = counts ? 1 : units(p);
        u32 digit = p >> shift & mask;
        atomicAdd(&histogram[digit], (u32)(w & 0xfff)); // in halves, which do not overflow
        atomicAdd(&histogram[2048 + digit], (u32)(w >> 12));
      }
      __syncthreads();
      if (threadIdx.x < 32) descend((int)mask, above, target);
      __syncthreads();
      if (shift == 21 && found[1] + found[2] < target) return; // all of them do not reach it
      prefix |= (u32)found[0] << shift;
      above = found[1];
      if (shift == 0) break;
    }
    u64 one = counts ? 1 : units(prefix);
    u64 ties = (target - above + one - 1) / one;
    auto tie = [&](int i) {
      u32 p = bits(i);
      return (u64)(p == prefix && keeps(p, i));
    };
    total(tie);
    int last = locate(tie, ties - 1);
    cut = {prefix, last};
  }
};

DEVICE float block_least(float v, float *s) { return -block_max(-v, s); }

SINGLE_KERNEL(__launch_bounds__(pick_threads) pick)
(float *logits, const int *asks, const int *hidden, int hiddens, int *picked, int vocab) {
  SHARED(float, shared, 32);
  SHARED(u32, histogram, 2 * 2048);
  SHARED(u64, sums, pick_warps);
  SHARED(u64, found, 3);
  float *row = logits + (i64)blockIdx.x * vocab;
  Ask ask = ((const Ask *)asks)[blockIdx.x];
  picked += blockIdx.x * 3;

  // The model's distribution, of all tokens.
  Exponentials e;
  float finite = 1;
  for (int i = threadIdx.x; i < vocab; i += blockDim.x) {
    float x[1] = {row[i]};
    if (x[0] - x[0] != 0) finite = 0;
    e.add(x);
  }
  float top = block_max(e.top, shared);
  float sum = block_sum(e.sum * fast_exp(e.top - top), shared);
  float normal = top + logf(sum);
  if (block_least(finite, shared) == 0) {
    if (threadIdx.x == 0) picked[0] = -1, picked[1] = picked[2] = 0;
    return;
  }
  for (int i = threadIdx.x; i < hiddens; i += blockDim.x) {
    int id = hidden[(i64)blockIdx.x * hiddens + i];
    if (id >= 0) row[id] = -INFINITY;
  }
  __syncthreads();

  // The likeliest token, the first of equal ones.
  float most = -INFINITY, at = 0;
  for (int i = threadIdx.x; i < vocab; i += blockDim.x)
    if (row[i] > most) most = row[i], at = (float)i;
  float best = block_max(most, shared);
  int token = (int)block_least(most == best ? at : (float)vocab, shared);
  if (best == -INFINITY) {
    if (threadIdx.x == 0) picked[0] = -1, picked[1] = picked[2] = 0;
    return;
  }
  float sampled = 0;
  if (ask.inverse > 0) {
    Row r = {row, vocab, ask.inverse, best, 1.f, 0.f, {0, -1}, histogram, sums, found};
    float weights = 0;
    for (int i = threadIdx.x; i < vocab; i += blockDim.x) weights += r.probability(i);
    r.scale = 1.f / block_sum(weights, shared);
    auto units = [&](int i) {
      u32 p = r.bits(i);
      return r.keeps(p, i) ? Row::units(p) : (u64)0;
    };
    if (ask.top_k > 0) r.reach(ask.top_k, true);
    if (ask.top_p > 0 && ask.top_p < 1) {
      u64 all = ask.top_k > 0 ? r.total(units) : (u64)mass;
      r.reach(max((u64)1, (u64)(ask.top_p * (double)all)), false);
    }
    r.least = ask.min_p * r.scale; // the likeliest has the probability scale
    u64 all = r.total(units);
    double u = (double)(((u64)ask.high << 32 | ask.low) >> 11) * 0x1p-53;
    token = r.locate(units, min(all - 1, (u64)(u * (double)all)));
    sampled = logf((float)((double)Row::units(r.bits(token)) / (double)all));
  }
  if (threadIdx.x == 0) {
    picked[0] = token;
    picked[1] = __float_as_int(row[token] - normal);
    picked[2] = __float_as_int(sampled);
  }
}
REGISTER(, pick)
