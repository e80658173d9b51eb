// A stand-in for libcuda.so.1 that runs the kernels of this folder on the CPU, for tests on machines without a GPU.
#include "device.h"
#include "host.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

namespace fake {
void run_block(const std::function<void()> &body, size_t dynamic_bytes);

std::recursive_mutex lock;
thread_local Device *current;

namespace {
std::map<std::string, Kernel> &kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}
std::vector<Stream *> streams;
// Event is a point in a stream.
struct Event {
  Stream *stream = nullptr; // null: it was never recorded
  uint64_t at = 0;
  double time = 0;
};
constexpr int most = 16;
Device devices[most];
size_t total = (size_t)1 << 30; // bytes of each device
double now() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }
int count() {
  const char *e = getenv("FAKE_CUDA_DEVICES");
  return e ? atoi(e) : 1;
}
// waited is the error of a wait for work that is being recorded.
int waited(Stream *s) {
  s->broken = true;
  return 900;
}
// state is the error of calls that need a context.
int state() { return current ? current->lost : 201; }

int finish_all(Device *d) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  for (Stream *s : streams)
    if (s->device == d) finish(s);
  return d->lost;
}
int allocate(uint64_t *d, size_t n) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (int r = state()) return r;
  if (current->used + n > total) return 2;
  void *p = aligned_alloc(256, (n + 255) & ~(size_t)255);
  if (!p) return 2;
  memset(p, 0xff, n); // NaN: what is read before it is written shows
  current->blocks[p] = n;
  current->used += n;
  *d = (uint64_t)p;
  return 0;
}
int release(Device *of, uint64_t d) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  auto b = of->blocks.find((void *)d);
  if (b == of->blocks.end()) return 1;
  of->used -= b->second;
  free(b->first);
  of->blocks.erase(b);
  return 0;
}
bool holds(const Device &of, uint64_t d, size_t n) {
  auto b = of.blocks.upper_bound((void *)d);
  if (b == of.blocks.begin()) return false;
  --b;
  return d + n <= (uint64_t)b->first + b->second;
}
// foreign tells whether an argument of a kernel, which may be a number too, is an address in the memory of another device.
bool foreign(const Device *own, uint64_t d) {
  for (const Device &other : devices)
    if (&other != own && holds(other, d, 1)) return true;
  return false;
}
} // namespace

Device *device(int ordinal) { return ordinal >= 0 && ordinal < std::min(count(), most) ? &devices[ordinal] : nullptr; }

// emit asks for work. A stream of another context than the thread's is an invalid handle.
int emit(void *stream, Work w) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  Stream *s = (Stream *)stream;
  if (s->device != current) return 400;
  if (current->lost) return current->lost;
  if (s->capture) {
    s->capture->push_back(w);
    return 0;
  }
  s->waiting.push_back(w);
  s->asked++;
  return 0;
}
int finish(Stream *s, uint64_t n) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  while (!s->device->lost && s->done < n && !s->waiting.empty()) {
    Work w = std::move(s->waiting.front());
    s->waiting.pop_front();
    s->done++;
    w();
  }
  return s->device->lost;
}
bool range(void *stream, uint64_t d, size_t n) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  return holds(*((Stream *)stream)->device, d, n);
}
void add(const char *name, Kernel k) { kernels()[name] = k; }
} // namespace fake

using namespace fake;
typedef uint64_t D;
typedef void *P;

extern "C" {
int cuInit(unsigned) {
  if (const char *e = getenv("FAKE_CUDA_MEMORY")) total = strtoull(e, 0, 10);
  for (int i = 0; i < most; i++) devices[i].ordinal = i;
  return 0;
}
int cuDriverGetVersion(int *v) { *v = 12080; return 0; }
int cuDeviceGetCount(int *n) { *n = count(); return 0; }
int cuDeviceGet(int *d, int i) { *d = i; return device(i) ? 0 : 101; }
int cuDeviceGetName(char *s, int n, int) { snprintf(s, n, "fake CUDA device"); return 0; }
int cuDeviceGetPCIBusId(char *s, int n, int d) { snprintf(s, n, "0000:01:%02x.0", d); return 0; }
int cuDeviceGetUuid(P u, int d) { memset(u, d, 16); return 0; }
int cuDeviceGetAttribute(int *v, int a, int) {
  const char *e = getenv("FAKE_CUDA_CAPABILITY"); // as in 90
  int c = e ? atoi(e) : 90;
  *v = a == 75 ? c / 10 : a == 76 ? c % 10 : a == 16 ? 2 : a == 97 ? 232448 : 0; // capability, multiprocessors, shared memory of a block
  return 0;
}
int cuDeviceTotalMem_v2(size_t *n, int) { *n = total; return 0; }
int cuMemGetInfo_v2(size_t *a, size_t *b) {
  if (int r = state()) return r;
  *a = total - current->used;
  *b = total;
  return 0;
}
int cuDevicePrimaryCtxRetain(P *c, int d) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  devices[d].holders++;
  *c = &devices[d];
  return 0;
}
int cuDevicePrimaryCtxRelease_v2(int i) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  Device *d = &devices[i];
  if (--d->holders) return 0;
  for (Stream *&s : streams)
    if (s->device == d) delete s, s = nullptr;
  streams.erase(std::remove(streams.begin(), streams.end(), nullptr), streams.end());
  while (!d->blocks.empty()) release(d, (uint64_t)d->blocks.begin()->first);
  d->lost = d->launches = 0;
  return 0;
}
int cuCtxSetCurrent(P c) { current = (Device *)c; return 0; }
int cuCtxSynchronize() { return current ? finish_all(current) : 201; }
int cuStreamCreate(P *s, unsigned) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  if (int r = state()) return r;
  streams.push_back(new Stream{current});
  *s = streams.back();
  return 0;
}
int cuStreamSynchronize(P s) { return ((Stream *)s)->capture ? waited((Stream *)s) : finish((Stream *)s); }
int cuStreamWaitEvent(P s, P e, unsigned) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  Event at = *(Event *)e; // a later record does not count
  return at.stream ? emit(s, [=] { finish(at.stream, at.at); }) : state();
}
int cuStreamDestroy_v2(P) { return 0; }
int cuGetErrorString(int r, const char **s) {
  *s = r == 1 ? "invalid argument" : r == 2 ? "out of memory" : r == 214 ? "uncorrectable ECC error encountered" : r == 400 ? "invalid resource handle" : r == 500 ? "named symbol not found" : r == 700 ? "an illegal memory access was encountered" : r == 900 ? "operation not permitted when stream is capturing" : r == 901 ? "operation failed due to a previous error during capture" : "unknown error";
  return 0;
}
int cuGetErrorName(int r, const char **s) {
  *s = r == 1 ? "CUDA_ERROR_INVALID_VALUE" : r == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : r == 214 ? "CUDA_ERROR_ECC_UNCORRECTABLE" : r == 400 ? "CUDA_ERROR_INVALID_HANDLE" : r == 500 ? "CUDA_ERROR_NOT_FOUND" : r == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : r == 900 ? "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED" : r == 901 ? "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED" : "CUDA_ERROR_UNKNOWN";
  return 0;
}
int cuMemAlloc_v2(D *d, size_t n) { return allocate(d, n); }
int cuMemFree_v2(D d) {
  if (!current) return 201;
  finish_all(current);
  return release(current, d);
}
int cuMemHostAlloc(P *p, size_t n, unsigned) { *p = malloc(n); return 0; }
int cuMemFreeHost(P p) { free(p); return 0; }
int cuMemcpyHtoDAsync_v2(D d, const void *s, size_t n, P t) { if (!range(t, d, n)) return 1; return emit(t, [=] { memcpy((P)d, s, n); }); }
int cuMemcpyDtoHAsync_v2(P d, D s, size_t n, P t) { if (!range(t, s, n)) return 1; return emit(t, [=] { memcpy(d, (P)s, n); }); }
int cuMemcpyDtoDAsync_v2(D d, D s, size_t n, P t) { if (!range(t, d, n) || !range(t, s, n)) return 1; return emit(t, [=] { memmove((P)d, (P)s, n); }); }
int cuMemsetD8Async(D d, unsigned char v, size_t n, P t) { if (!range(t, d, n)) return 1; return emit(t, [=] { memset((P)d, v, n); }); }
int cuEventCreate(P *e, unsigned) { *e = new Event; return 0; }
int cuEventRecord(P e, P s) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  int r = emit(s, [=] { ((Event *)e)->time = now(); });
  if (!r && !((Stream *)s)->capture) ((Event *)e)->stream = (Stream *)s, ((Event *)e)->at = ((Stream *)s)->asked;
  return r;
}
int cuEventSynchronize(P e) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  Event at = *(Event *)e;
  if (at.stream && at.stream->capture) return waited(at.stream);
  return at.stream ? finish(at.stream, at.at) : state();
}
int cuEventQuery(P e) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  Event at = *(Event *)e;
  return at.stream && at.stream->device->lost ? at.stream->device->lost : at.stream && at.stream->done < at.at ? 600 : 0; // not ready
}
int cuEventElapsedTime(float *ms, P a, P b) { *ms = float(((Event *)b)->time - ((Event *)a)->time); return 0; }
int cuEventDestroy_v2(P e) { delete (Event *)e; return 0; }
int cuModuleLoadData(P *m, const void *) { *m = current; return current ? 0 : 201; }
int cuModuleLoadDataEx(P *m, const void *, unsigned, int *, P *) { *m = current; return current ? 0 : 201; }
int cuModuleUnload(P) { return 0; }
int cuModuleGetFunction(P *f, P m, const char *n) {
  std::lock_guard<std::recursive_mutex> hold(lock);
  auto k = kernels().find(n);
  if (k == kernels().end()) return 500;
  Device *d = (Device *)m;
  *f = &(d->functions[n] = {&k->second, d});
  return 0;
}
int cuFuncGetAttribute(int *v, int, P) { *v = 1024; return 0; } // of shared memory: the own arrays
int cuFuncSetAttribute(P, int, int bytes) { return bytes > 232448 - 1024; }
// A launch packs its arguments. A size that is not the sum of the kernel's parameters means that the two lists differ: an error, as on a device.
int cuLaunchKernel(P f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned dynamic_bytes, P stream, P *, P *extra) {
  Kernel *k = ((Function *)f)->kernel;
  Device *own = ((Stream *)stream)->device;
  if (((Function *)f)->device != own) return 400;
  if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || !bx || !by || !bz || bx * by * bz > 1024 || dynamic_bytes > 232448) return 1;
  {
    std::lock_guard<std::recursive_mutex> hold(lock);
    const char *after = getenv("FAKE_CUDA_LOSE_AFTER"), *which = getenv("FAKE_CUDA_LOSE");
    if (after && *after && own->ordinal == (which ? atoi(which) : 0) && own->launches++ == atol(after)) own->lost = 214;
  }
  std::vector<size_t> at;
  size_t end = 0;
  for (auto &s : k->sizes) {
    end = (end + s.second - 1) / s.second * s.second;
    at.push_back(end);
    end += s.first;
  }
  char *packed = 0;
  size_t n = 0;
  for (; *extra; extra += 2) {
    if ((size_t)*extra == 1) packed = (char *)extra[1];
    if ((size_t)*extra == 2) n = *(size_t *)extra[1];
  }
  if (n != end) return 1;
  std::vector<uint64_t> copy(n / 8 + 1);
  memcpy(copy.data(), packed, n);
  for (size_t i = 0; i < at.size(); i++) {
    std::lock_guard<std::recursive_mutex> hold(lock);
    if (k->sizes[i].first == 8 && foreign(own, *(uint64_t *)((char *)copy.data() + at[i]))) return 700;
  }
  return emit(stream, [=]() mutable {
    std::vector<P> p;
    for (size_t a : at) p.push_back((char *)copy.data() + a);
    blockDim = {bx, by, bz};
    gridDim = {gx, gy, gz};
    std::function<void()> thread = [&] { k->run(p.data()); };
    for (unsigned z = 0; z < gz; z++)
      for (unsigned y = 0; y < gy; y++)
        for (unsigned x = 0; x < gx; x++) {
          blockIdx = {x, y, z};
          run_block(thread, dynamic_bytes);
        }
  });
}
int cuStreamBeginCapture_v2(P p, int) {
  Stream *s = (Stream *)p;
  s->broken = false;
  s->capture = new Graph;
  return s->device->lost;
}
int cuStreamEndCapture(P p, P *g) {
  Stream *s = (Stream *)p;
  *g = s->broken ? nullptr : s->capture;
  s->capture = nullptr;
  return s->broken ? 901 : s->device->lost;
}
int cuGraphInstantiateWithFlags(P *x, P g, unsigned long long) { *x = new Graph(*(Graph *)g); return 0; }
int cuGraphDestroy(P g) { delete (Graph *)g; return 0; }
int cuGraphLaunch(P x, P s) {
  for (auto &w : *(Graph *)x)
    if (int r = emit(s, w)) return r;
  return 0;
}
int cuGraphExecDestroy(P x) { delete (Graph *)x; return 0; }
}
