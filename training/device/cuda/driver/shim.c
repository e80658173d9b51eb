//go:build gpu && cgo

// libcuda, bound at start and never at link time: every cu* symbol of symbols.txt is a trampoline through driver_table, which cuInit fills by
// dlopen. Without a driver the process still starts. cuInit then answers that all is well, because package cu would end the process otherwise; what is
// wrong is kept for Go, and every other call answers CUDA_ERROR_NOT_INITIALIZED.
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "zsymbols.h"

#define COUNT ((int)(sizeof driver_names / sizeof driver_names[0]))

enum { NO_LIBRARY = -1, NO_INIT = -2, NOT_INITIALIZED = 3, NOT_FOUND = 500 };

__attribute__((visibility("hidden"))) void *driver_table[COUNT];
static int status = NOT_INITIALIZED;
static char message[1024], path[256];
static void *library;

static int not_initialized(void) { return NOT_INITIALIZED; }
static int not_found(void) { return NOT_FOUND; } // this driver lacks the symbol

__attribute__((constructor)) static void prefill(void) {
  for (int i = 0; i < COUNT; i++) driver_table[i] = (void *)not_initialized;
}

static void *try_open(const char *p) {
  void *h = dlopen(p, RTLD_NOW | RTLD_LOCAL);
  if (h) {
    snprintf(path, sizeof path, "%s", p);
    return h;
  }
  size_t n = strlen(message);
  snprintf(message + n, sizeof message - n, "%s%s", n ? "; " : "", dlerror());
  return 0;
}

static void open_library(void) {
  static const char *const places[] = {
      "libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/local/nvidia/lib/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"};
  const char *named = getenv("TEMPERA_LIBCUDA");
  if (named && *named) {
    library = try_open(named);
    return;
  }
  for (unsigned i = 0; i < sizeof places / sizeof *places && !library; i++) library = try_open(places[i]);
}

int cuInit(unsigned flags) {
  if (library) return 0;
  message[0] = 0;
  open_library();
  if (!library) {
    status = NO_LIBRARY;
    return 0;
  }
  int (*init)(unsigned) = (int (*)(unsigned))dlsym(library, "cuInit");
  if (!init) {
    status = NO_INIT;
    snprintf(message, sizeof message, "%s has no cuInit", path);
    return 0;
  }
  status = init(flags);
  if (status) { // a driver without a device that it can use
    const char *text = 0;
    int (*describe)(int, const char **) = (int (*)(int, const char **))dlsym(library, "cuGetErrorString");
    if (describe) describe(status, &text);
    snprintf(message, sizeof message, "%s: error %d: %s", path, status, text ? text : "unknown");
    return 0;
  }
  message[0] = 0;
  for (int i = 0; i < COUNT; i++) {
    void *p = dlsym(library, driver_names[i]);
    driver_table[i] = p ? p : (void *)not_found;
  }
  return 0;
}

int driver_status(void) { return status; }
const char *driver_message(void) { return message; }
const char *driver_path(void) { return path; }
