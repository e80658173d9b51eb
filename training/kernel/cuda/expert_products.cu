// Products of rows with the matrices of their experts. Where an expert's rows lie is known to the device only.
#include "tile.cuh"

// Group is a tile of the rows of one expert.
struct Group {
  int expert;
  i64 first, rows; // of the expert
  i64 row;         // where the tile begins among them
};

// find is tile number `tile`, counted expert by expert, of `height` rows each; expert -1 where there are fewer. ends[e] to ends[e + 1] are the rows of e.
// A whole warp calls it.
DEVICE Group find(const int *ends, int experts, i64 tile, int height) {
  int lane = threadIdx.x & 31;
  i64 before = 0; // tiles of the experts before base
  for (int base = 0; base < experts; base += 32) {
    int e = base + lane;
    int tiles = e < experts ? (ends[e + 1] - ends[e] + height - 1) / height : 0, sum = tiles;
    for (int o = 1; o < 32; o <<= 1) {
      int other = __shfl_up_sync(0xffffffffu, sum, o);
      if (lane >= o) sum += other;
    }
    unsigned past = __ballot_sync(0xffffffffu, tile < before + sum);
    if (past) {
      int at = 0;
      while (!(past >> at & 1)) at++;
      i64 start = before + __shfl_sync(0xffffffffu, sum - tiles, at);
      i64 first = ends[base + at];
      return {base + at, first, ends[base + at + 1] - first, (tile - start) * height};
    }
    before += __shfl_sync(0xffffffffu, sum, 31);
  }
  return {-1, 0, 0, 0};
}

// c_e (+)= a_e op(b_e): a is (rows, k), b (experts, k, n), or (experts, n, k) with transpose_b, c (rows, n). A block computes a tile of one expert's rows;
// the grid has blocks for the most tiles that there can be.
template <class T>
DEVICE void expert_gemm(const int *ends, int experts, const T *a, const T *b, void *c, i64 n, i64 k, int transpose_b, int accumulate, int wide) {
  i64 across = (n + tile_side - 1) / tile_side, n0 = blockIdx.x % across * tile_side;
  Group g = find(ends, experts, blockIdx.x / across, tile_side);
  if (g.expert < 0) return;
  Matrix<T> x{a + g.first * k, g.rows, k};
  Matrix<T> y{b + g.expert * k * n, transpose_b ? n : k, transpose_b ? k : n};
  void *to = (char *)c + g.first * n * (wide ? 4 : 2);
  Result result{to, to, g.rows, n, 1.f, accumulate ? 1.f : 0.f, wide != 0};
  if (transpose_b)
    Tile<T, false, true>::run(x, y, g.row, n0, k, result);
  else
    Tile<T, false, false>::run(x, y, g.row, n0, k, result);
}
KERNELS(expert_gemm, (const int *ends, int experts, const T *a, const T *b, void *c, i64 n, i64 k, int transpose_b, int accumulate, int wide),
        (ends, experts, a, b, c, n, k, transpose_b, accumulate, wide))

// db_e += a_eᵀ dc_e: a is (rows, k), dc (rows, n), db (experts, k, n). A block computes a tile of expert blockIdx.y, over all its rows in their order.
template <class T> DEVICE void expert_grad(const int *ends, const T *a, const T *dc, float *db, i64 n, i64 k) {
  i64 across = (n + tile_side - 1) / tile_side, k0 = blockIdx.x / across * tile_side, n0 = blockIdx.x % across * tile_side;
  int expert = blockIdx.y;
  i64 first = ends[expert], rows = ends[expert + 1] - first;
  if (rows == 0) return;
  float *to = db + expert * k * n;
  Result result{to, to, k, n, 1.f, 1.f, true};
  Tile<T, true, false>::run({a + first * k, rows, k}, {dc + first * n, rows, n}, k0, n0, rows, result);
}
KERNELS(expert_grad, (const int *ends, const T *a, const T *dc, float *db, i64 n, i64 k), (ends, a, dc, db, n, k))
