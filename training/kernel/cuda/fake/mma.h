// The instructions of mma.cuh on a CPU. Copies arrive when they are waited for, and not before: a wait that is missing shows.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <deque>

namespace fake {
inline void must_divide(const void *p) {
  if ((uintptr_t)p % 16 == 0) return;
  fprintf(stderr, "fake device: 16 bytes at an address that they do not divide\n");
  abort();
}
inline float half_of(u32 word, int i) { return to_float(bf16{(uint16_t)(word >> 16 * i)}); }
struct Copy {
  void *to;
  const void *from; // null: zeros
};
inline std::deque<std::vector<Copy>> copies[1024]; // of each thread: closed groups, then the open one
} // namespace fake

inline void multiply_add(float (&c)[4], const u32 (&a)[4], const u32 *b) {
  const u32 mine[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  auto all = fake::exchange(mine, 6);
  int lane = fake::thread() & 31;
  for (int i = 0; i < 4; i++) {
    int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; k++) {
      float x = fake::half_of(all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2], k % 2);
      float y = fake::half_of(all[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
      c[i] += x * y;
    }
  }
}

inline void load_matrices(u32 (&r)[4], const bf16 *row) {
  fake::must_divide(row);
  u32 mine[4];
  memcpy(mine, row, 16);
  auto all = fake::exchange(mine, 4);
  int lane = fake::thread() & 31;
  for (int i = 0; i < 4; i++) r[i] = all[8 * i + lane / 4][lane % 4];
}

inline void load_matrices_transposed(u32 (&r)[4], const bf16 *row) {
  fake::must_divide(row);
  u32 mine[4];
  memcpy(mine, row, 16);
  auto all = fake::exchange(mine, 4);
  int lane = fake::thread() & 31, column = lane / 4;
  for (int i = 0; i < 4; i++) {
    auto element = [&](int row) { return all[8 * i + row][column / 2] >> 16 * (column % 2) & 0xffffu; };
    r[i] = element(lane % 4 * 2) | element(lane % 4 * 2 + 1) << 16;
  }
}

inline void copy_async(void *shared, const void *global, bool there) {
  fake::must_divide(shared);
  if (there) fake::must_divide(global);
  auto &groups = fake::copies[fake::thread()];
  if (groups.empty()) groups.emplace_back();
  groups.back().push_back({shared, there ? global : nullptr});
  memset(shared, 0xff, 16);
}
inline void end_copies() {
  auto &groups = fake::copies[fake::thread()];
  if (groups.empty()) groups.emplace_back();
  groups.emplace_back();
}
template <int open> inline void wait_copies() {
  auto &groups = fake::copies[fake::thread()];
  while (groups.size() > open + 1) {
    for (const fake::Copy &c : groups.front()) {
      if (c.from)
        memcpy(c.to, c.from, 16);
      else
        memset(c.to, 0, 16);
    }
    groups.pop_front();
  }
}

inline u32 pair(float low, float high) {
  bf16 x, y;
  from_float(&x, low);
  from_float(&y, high);
  return x.bits | (u32)y.bits << 16;
}
