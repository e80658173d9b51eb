// NCCL as this package uses it: C types only, so that nothing of NCCL is needed to build.
#include <stddef.h>
#include <stdint.h>

typedef struct {
  int (*enter)(void *);
  int ranks;
  void **contexts, **comms, **streams; // of each rank
  int (*version)(int *);
  int (*init_all)(void **, int, const int *);
  int (*destroy)(void *);
  int (*abort)(void *);
  int (*start)(void);
  int (*end)(void);
  int (*reduce)(const void *, void *, size_t, int type, int op, int root, void *, void *);
  int (*broadcast)(const void *, void *, size_t, int type, int root, void *, void *);
  const char *(*describe)(int);
} nccl_library;

// nccl_load fills the functions from the library at path; the answer is a message, or null.
const char *nccl_load(nccl_library *l, const char *path);
int nccl_version(nccl_library *l);
const char *nccl_describe(nccl_library *l, int r);
// nccl_open makes the communicators of the devices of the given numbers.
int nccl_open(nccl_library *l, const int *ordinals);
int nccl_close(nccl_library *l);
int nccl_abort(nccl_library *l);
// nccl_exchange asks for values of float32: value i of a rank lies at addresses[i * ranks + rank] and has sizes[i] elements. Rank 0 is the root.
int nccl_exchange(nccl_library *l, int reduce, int values, const uint64_t *addresses, const uint64_t *sizes);
