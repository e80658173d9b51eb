#include <cuda.h>

// enter makes a context current on this thread. A goroutine may move between threads, so every call says which one it needs. Who lets others set it enters 0 afterwards.
CUresult driver_enter(CUcontext c);
