#!/usr/bin/env bash
# build.sh [file.cu ...]: compiles kernels to images/: PTX for compute capability 8.0 and later, which the driver compiles at its first use, and machine
# code for 9.0. Fails where a kernel spills registers. images.sha256 gets a line for each image: its name, its hash, and that of its sources.
set -euo pipefail
cd "$(dirname "$0")"
home=$(./toolchain.sh compiler)
[ $# -gt 0 ] || set -- *.cu
mkdir -p images
export LC_ALL=C

# sources FILE: it, and all headers of this folder that come with it; what only the fake device includes lies in fake/
sources() {
  local found=$1 before=
  while [ "$found" != "$before" ]; do
    before=$found
    found=$({ echo "$found"; sed -n 's/^ *#include "\([^"/]*\)"$/\1/p' $found; } | sort -u)
  done
  echo "$found"
}

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
  from=$(sha256sum $(sources "$source") | sha256sum | cut -d' ' -f1)
  lines=$(grep -v "^$name\." images.sha256 || true)
  for image in "$name.compute_80.ptx" "$name.sm_90.cubin"; do
    lines+=$'\n'"$image $(sha256sum < "images/$image" | cut -d' ' -f1) $from"
  done
  echo "$lines" | sed '/^$/d' | sort > images.sha256
done
