// Fibers: the threads of a block, on one host thread. Barriers switch between them.
#include "host.h"
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>

Dim3 threadIdx, blockIdx, blockDim, gridDim;

#if !defined(__x86_64__)
#error "the fake device is for x86-64"
#endif
// switch_stack saves the callee's registers on this stack, leaves its address at *from and goes on at the stack `to`.
asm(R"(
.text
.globl fake_switch_stack
fake_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
)");
extern "C" void fake_switch_stack(void **from, void *to);

namespace fake {
unsigned char *dynamic;
namespace {
constexpr size_t stack_bytes = 64 << 10, most_threads = 1024, shared_bytes = 256 << 10;
struct Fiber {
  void *stack; // where it stopped
  Dim3 id;
  bool done;
  std::unique_ptr<char[]> memory;
};
Fiber fibers[most_threads];
void *scheduler;
unsigned current, threads, live, arrived, phase;
struct Warp {
  unsigned live, arrived, phase;
  uint32_t slots[2][32][16]; // two, so that nobody overwrites what a slower lane still reads
};
Warp warps[most_threads / 32];
const std::function<void()> *body;
bool barriers; // false: they are ignored, which shows that tests notice
std::map<const void *, void *> declarations;
unsigned char arena[shared_bytes];
size_t used;

void pause() { fake_switch_stack(&fibers[current].stack, scheduler); }

void run() {
  (*body)();
  fibers[current].done = true;
  live--;
  warps[current / 32].live--;
  if (live && arrived == live) arrived = 0, phase++;
  Warp &w = warps[current / 32];
  if (w.live && w.arrived == w.live) w.arrived = 0, w.phase++;
  pause();
  abort();
}

void *fresh(Fiber &f) {
  if (!f.memory) f.memory.reset(new char[stack_bytes]);
  void **top = (void **)(((uintptr_t)f.memory.get() + stack_bytes) & ~(uintptr_t)15);
  *--top = nullptr;        // the return address of run, which does not return
  *--top = (void *)run;    // where ret goes
  for (int i = 0; i < 6; i++) *--top = nullptr;
  return top;
}
} // namespace

// run_block runs all threads of one block; a deadlock, threads that wait at different barriers, ends the process with a message.
void run_block(const std::function<void()> &thread_body, size_t dynamic_bytes) {
  body = &thread_body;
  barriers = !getenv("FAKE_CUDA_NO_BARRIERS");
  threads = live = blockDim.x * blockDim.y * blockDim.z;
  arrived = 0;
  declarations.clear();
  dynamic = arena;
  used = (dynamic_bytes + 15) & ~(size_t)15;
  memset(arena, 0xff, used);
  for (Warp &w : warps) w.live = w.arrived = 0;
  for (unsigned t = 0; t < threads; t++) {
    Fiber &f = fibers[t];
    f.id = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
    f.done = false;
    f.stack = fresh(f);
    warps[t / 32].live++;
  }
  for (unsigned idle = 0; live;) {
    unsigned before = live + arrived, phases = phase;
    for (const Warp &w : warps) before += w.arrived, phases += w.phase;
    for (unsigned t = 0; t < threads; t++) {
      if (fibers[t].done) continue;
      current = t;
      threadIdx = fibers[t].id;
      fake_switch_stack(&scheduler, fibers[t].stack);
    }
    unsigned after = live + arrived, phases_after = phase;
    for (const Warp &w : warps) after += w.arrived, phases_after += w.phase;
    idle = before == after && phases == phases_after ? idle + 1 : 0;
    if (idle > 2) {
      fprintf(stderr, "fake device: the threads of a block wait for each other at different barriers\n");
      abort();
    }
  }
}

void sync_threads() {
  if (!barriers) return;
  unsigned p = phase;
  if (++arrived == live) {
    arrived = 0;
    phase++;
    return;
  }
  while (phase == p) pause();
}

void sync_warp() {
  Warp &w = warps[current / 32];
  unsigned p = w.phase;
  if (++w.arrived == w.live) {
    w.arrived = 0;
    w.phase++;
    return;
  }
  while (w.phase == p) pause();
}

const uint32_t (*exchange(const uint32_t *mine, int words))[16] {
  Warp &w = warps[current / 32];
  auto &slots = w.slots[w.phase & 1];
  memcpy(slots[current & 31], mine, words * 4);
  sync_warp();
  return slots;
}

void *shared(const void *declaration, size_t bytes) {
  void *&p = declarations[declaration];
  if (!p) {
    p = arena + used;
    used += (bytes + 15) & ~(size_t)15;
    if (used > shared_bytes) {
      fprintf(stderr, "fake device: a block shares more than %zu bytes\n", shared_bytes);
      abort();
    }
    memset(p, 0xff, bytes);
  }
  return p;
}
} // namespace fake
