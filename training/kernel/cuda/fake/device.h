// The devices of the fake driver and their streams.
#pragma once
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace fake {
struct Kernel;
using Work = std::function<void()>;
using Graph = std::vector<Work>;
// Function is a kernel as a device has loaded it.
struct Function {
  Kernel *kernel;
  struct Device *device;
};
// A device is its own context. Its memory is its own: what another one's stream is given of it is an error, as on devices that do not see each other's.
struct Device {
  std::map<void *, size_t> blocks; // of memory
  std::map<std::string, Function> functions;
  size_t used = 0;
  int holders = 0;       // of the context: memory is gone with the last
  long launches = 0;
  int lost = 0;          // the error of all calls, after FAKE_CUDA_LOSE_AFTER launches of device FAKE_CUDA_LOSE, 0 where it is not given
  int ordinal = 0;
};
// A stream does its work as late as may be: when it is waited for, by a synchronisation, an event or another stream. So work that should have waited for
// another stream's, and memory of the host that is used again too early, show.
struct Stream {
  Device *device;
  std::deque<Work> waiting;
  uint64_t asked = 0, done = 0;
  Graph *capture = nullptr; // that work is recorded into
  bool broken = false;      // the capture: something waited for its work
};
extern std::recursive_mutex lock; // the devices do one thing at a time
extern thread_local Device *current;
Device *device(int ordinal); // null: there is none
int emit(void *stream, Work w);
// finish does the first n pieces of work of a stream, or all.
int finish(Stream *s, uint64_t n = UINT64_MAX);
// range tells whether the memory of a stream's device holds n bytes from d on.
bool range(void *stream, uint64_t d, size_t n);
} // namespace fake
