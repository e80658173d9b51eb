//go:build gpu && cgo

#include "nccl.h"
#include <dlfcn.h>

enum { FLOAT32 = 7, SUM = 0, ROOT = 0 };

const char *nccl_load(nccl_library *l, const char *path) {
  void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!h) return dlerror();
  const struct {
    const char *name;
    void **f;
  } functions[] = {
      {"ncclGetVersion", (void **)&l->version},
      {"ncclCommInitAll", (void **)&l->init_all},
      {"ncclCommDestroy", (void **)&l->destroy},
      {"ncclCommAbort", (void **)&l->abort},
      {"ncclGroupStart", (void **)&l->start},
      {"ncclGroupEnd", (void **)&l->end},
      {"ncclReduce", (void **)&l->reduce},
      {"ncclBroadcast", (void **)&l->broadcast},
      {"ncclGetErrorString", (void **)&l->describe},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (!(*functions[i].f = dlsym(h, functions[i].name))) {
      const char *message = dlerror();
      dlclose(h);
      return message;
    }
  }
  return 0;
}

int nccl_version(nccl_library *l) {
  int v = 0;
  l->version(&v);
  return v;
}

const char *nccl_describe(nccl_library *l, int r) { return l->describe(r); }

// The library sets the thread's context as it likes: the driver is to forget which one it set last.
static int left(nccl_library *l, int r) {
  l->enter(0);
  return r;
}

int nccl_open(nccl_library *l, const int *ordinals) { return left(l, l->init_all(l->comms, l->ranks, ordinals)); }

static int each(nccl_library *l, int (*f)(void *)) {
  int r = 0;
  for (int i = 0; i < l->ranks; i++) {
    l->enter(l->contexts[i]);
    int e = f(l->comms[i]);
    if (!r) r = e;
  }
  return left(l, r);
}
int nccl_close(nccl_library *l) { return each(l, l->destroy); }
int nccl_abort(nccl_library *l) { return each(l, l->abort); }

int nccl_exchange(nccl_library *l, int reduce, int values, const uint64_t *addresses, const uint64_t *sizes) {
  l->enter(l->contexts[ROOT]);
  int r = l->start();
  for (int i = 0; i < values && !r; i++)
    for (int rank = 0; rank < l->ranks && !r; rank++) {
      void *p = (void *)addresses[i * l->ranks + rank];
      r = reduce ? l->reduce(p, p, sizes[i], FLOAT32, SUM, ROOT, l->comms[rank], l->streams[rank])
                 : l->broadcast(p, p, sizes[i], FLOAT32, ROOT, l->comms[rank], l->streams[rank]);
    }
  int end = l->end(); // also after an error: the thread is to leave the group
  return left(l, r ? r : end);
}
