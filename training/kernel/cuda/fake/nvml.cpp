// A stand-in for libnvidia-ml.so.1: one GPU at 31 degrees.
#include <cstdio>
#include <cstring>

extern "C" {
int nvmlInit_v2() { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **h) {
  static int device;
  *h = &device;
  return strncmp(bus, "0000:01:", 8) ? 6 : 0; // not found
}
int nvmlDeviceGetUtilizationRates(void *, unsigned *u) { u[0] = 42, u[1] = 7; return 0; }
int nvmlDeviceGetMemoryInfo(void *, unsigned long long *m) { m[0] = 1ull << 30, m[1] = 3ull << 28, m[2] = 1ull << 28; return 0; }
int nvmlDeviceGetTemperature(void *, int, unsigned *t) { *t = 31; return 0; }
int nvmlDeviceGetPowerUsage(void *, unsigned *p) { *p = 70500; return 0; }
int nvmlSystemGetDriverVersion(char *s, unsigned n) { snprintf(s, n, "570.0"); return 0; }
int nvmlDeviceGetTotalEccErrors(void *, int, int, unsigned long long *) { return 3; } // not supported
const char *nvmlErrorString(int r) { return r == 6 ? "Not Found" : r == 3 ? "Not Supported" : "Unknown Error"; }
}
