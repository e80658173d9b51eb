#!/usr/bin/python3
"""Matrix products in numpy, beside `tempera bench gemm`: the same flags, the same keys of JSON.

    apt-get install -y --no-install-recommends python3-numpy libopenblas0-pthread
    taskset -c 1 bench/peers/numpy_gemm.py --sizes 512,1024,2048 --variant nn,nt,tn --threads 1

numpy multiplies with the BLAS that the system's libblas.so.3 names; the line says which library that is. It has no packed weights, and does not
measure the peak of the caches: those keys are null.
"""
import argparse
import json
import os
import time

ints = lambda s: [int(x) for x in s.split(",")]
ap = argparse.ArgumentParser()
for name, default in dict(m=0, n=0, k=0, threads=2, repeats=20).items():
    ap.add_argument("--" + name, type=int, default=default)
ap.add_argument("--sizes", type=ints, default=[256, 512, 1024, 2048])
ap.add_argument("--variant", type=lambda s: s.split(","), default=["nn"])
a = ap.parse_args()
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "BLIS_NUM_THREADS"):
    os.environ[variable] = str(a.threads)

import numpy as np  # noqa: E402: after the number of threads is known


def library():
    """The BLAS that the process has loaded."""
    with open("/proc/self/maps") as f:
        paths = sorted({line.split()[-1] for line in f if ".so" in line and ("blas" in line or "blis" in line)})
    return ", ".join(os.path.basename(os.path.realpath(p)) for p in paths)


random = np.random.default_rng(0)
products = []
for m, n, k in [(a.m, a.n, a.k)] if a.m else [(s, s, s) for s in a.sizes]:
    for variant in a.variant:
        x = random.standard_normal((k, m) if variant[0] == "t" else (m, k), dtype=np.float32)
        y = random.standard_normal((n, k) if variant[1] == "t" else (k, n), dtype=np.float32)
        x, y = x.T if variant[0] == "t" else x, y.T if variant[1] == "t" else y
        c = np.empty((m, n), dtype=np.float32)
        np.matmul(x, y, out=c)
        best = float("inf")
        for _ in range(a.repeats):
            t = time.perf_counter()
            np.matmul(x, y, out=c)
            best = min(best, time.perf_counter() - t)
        products.append(dict(m=m, n=n, k=k, variant=variant, ms=round(best * 1e3, 4), gflops=round(2e-9 * m * n * k / best, 1), share=None,
                             gb_per_s=round(4e-9 * (m * k + k * n + m * n) / best, 1)))
print(json.dumps(dict(peer=f"numpy {np.__version__} ({library()})", threads=a.threads, packed=None, peak_gflops=None, products=products, device="cpu"), indent=2))
