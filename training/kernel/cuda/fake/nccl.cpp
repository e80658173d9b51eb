// A stand-in for NCCL's functions that package nccl uses, for the devices of one process. What a rank asks for and another does not, which would wait for ever on
// devices, is an error, as is memory of another device.
#include "device.h"
#include <cstdlib>
#include <memory>

namespace fake {
namespace {
enum { OK = 0, CUDA = 1, INVALID_ARGUMENT = 4, INVALID_USAGE = 5 };
enum { FLOAT32 = 7, SUM = 0 };
constexpr size_t most = 2048; // calls of a group, as documented

struct Comm {
  int rank, ranks;
  Device *device;
  bool aborted = false;
};
// Call is what one rank asks for.
struct Call {
  bool reduce;
  const float *send;
  float *receive;
  size_t count;
  int root;
  Comm *comm;
  Stream *stream;
};
thread_local int depth; // of groups
thread_local std::vector<Call> calls;

// Exchange is the calls of all ranks, which are done once, when the first of their streams comes to it.
struct Exchange {
  std::vector<Call> ranks;
  std::vector<uint64_t> before; // work that each stream was asked for earlier
  bool done = false;

  void run() {
    if (done) return;
    done = true;
    for (size_t i = 0; i < ranks.size(); i++)
      if (finish(ranks[i].stream, before[i])) return; // a lost device
    Call &root = ranks[ranks[0].root];
    for (size_t k = 0; k < root.count; k++) {
      float x = root.send[k];
      for (Call &c : ranks) {
        if (!root.reduce) c.receive[k] = x;
        if (root.reduce && &c != &root) x += c.send[k];
      }
      root.receive[k] = x;
    }
  }
};

int ask(Call c, int type, int op) {
  if (c.comm->aborted || !depth || calls.size() == most) return INVALID_USAGE;
  if (type != FLOAT32 || op != SUM || c.root < 0 || c.root >= c.comm->ranks || !c.count) return INVALID_ARGUMENT;
  bool root = c.comm->rank == c.root;
  if (c.stream->device != c.comm->device) return INVALID_ARGUMENT;
  if ((c.reduce || root) && !range(c.stream, (uint64_t)c.send, 4 * c.count)) return INVALID_ARGUMENT;
  if ((!c.reduce || root) && !range(c.stream, (uint64_t)c.receive, 4 * c.count)) return INVALID_ARGUMENT;
  calls.push_back(c);
  return OK;
}

// launch asks the streams for the calls of a group: the n-th of each rank belong together.
int launch() {
  std::lock_guard<std::recursive_mutex> hold(lock);
  std::map<int, std::vector<Call>> of;
  for (Call &c : calls) of[c.comm->rank].push_back(c);
  int ranks = calls.empty() ? 0 : calls[0].comm->ranks;
  calls.clear();
  for (int rank = 0; rank < ranks; rank++)
    if (of[rank].size() != of[0].size()) return INVALID_USAGE;
  for (size_t n = 0; n < of[0].size(); n++) {
    auto e = std::make_shared<Exchange>();
    for (int rank = 0; rank < ranks; rank++) {
      Call &c = of[rank][n], &first = of[0][n];
      if (c.reduce != first.reduce || c.count != first.count || c.root != first.root) return INVALID_USAGE;
      e->ranks.push_back(c);
    }
    for (Call &c : e->ranks) e->before.push_back(c.stream->asked);
    for (Call &c : e->ranks) {
      current = c.comm->device; // and it stays so: nobody may rely on the thread's context after a call of the library
      if (emit(c.stream, [e] { e->run(); })) return CUDA;
    }
  }
  return OK;
}
} // namespace
} // namespace fake

using namespace fake;
typedef void *P;

extern "C" {
int ncclGetVersion(int *v) { *v = 22105; return OK; }
const char *ncclGetErrorString(int r) {
  return r == OK ? "no error" : r == CUDA ? "unhandled cuda error" : r == INVALID_ARGUMENT ? "invalid argument" : r == INVALID_USAGE ? "invalid usage" : "unknown result code";
}
int ncclCommInitAll(P *comms, int n, const int *ordinals) {
  if (n < 1) return INVALID_ARGUMENT;
  for (int i = 0; i < n; i++) {
    Device *d = device(ordinals[i]);
    for (int k = 0; k < i; k++)
      if (ordinals[k] == ordinals[i]) return INVALID_USAGE; // a device has one rank
    if (!d) return INVALID_ARGUMENT;
    comms[i] = new Comm{i, n, d};
    current = d;
  }
  return OK;
}
int ncclCommDestroy(P c) { delete (Comm *)c; return OK; }
int ncclCommAbort(P c) { ((Comm *)c)->aborted = true; return OK; }
int ncclGroupStart() { depth++; return OK; }
int ncclGroupEnd() { return !depth ? INVALID_USAGE : --depth ? OK : launch(); }
int ncclReduce(const void *send, void *receive, size_t count, int type, int op, int root, P comm, P stream) {
  return ask({true, (const float *)send, (float *)receive, count, root, (Comm *)comm, (Stream *)stream}, type, op);
}
int ncclBroadcast(const void *send, void *receive, size_t count, int type, int root, P comm, P stream) {
  return ask({false, (const float *)send, (float *)receive, count, root, (Comm *)comm, (Stream *)stream}, type, SUM);
}
}
