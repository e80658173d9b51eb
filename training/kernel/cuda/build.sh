#!/usr/bin/env bash
# build.sh [file.cu ...]: compiles kernels to images/: PTX for compute capability 8.0 and later, which the driver compiles at its first use, and machine
# code for 9.0. Fails where a kernel spills registers.
set -euo pipefail
cd "$(dirname "$0")"
home=$(./toolchain.sh compiler)
[ $# -gt 0 ] || set -- *.cu
mkdir -p images
for source; do
  name=${source%.cu}
  flags=(-O3 -std=c++17 -allow-unsupported-compiler -I.)
  "$home/bin/nvcc" "${flags[@]}" -ptx -arch=compute_80 -o "images/$name.compute_80.ptx" "$source"
  report=$("$home/bin/nvcc" "${flags[@]}" -cubin -arch=sm_90 -Xptxas -v -o "images/$name.sm_90.cubin" "$source" 2>&1)
  echo "$report" | awk -v name="$name" '
    /Compiling entry function/ { split($0, q, "\x27"); kernel = q[2] }
    /bytes spill stores/ { if ($(NF-6) + 0 > 0 || $0 !~ / 0 bytes spill stores, 0 bytes spill loads/) { print name ": " kernel ": " $0; bad = 1 } }
    /error|warning/ { print }
    END { exit bad }'
done
