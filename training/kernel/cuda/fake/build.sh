#!/usr/bin/env bash
# build.sh OUT: the fake device as a library, OUT, to be named by TEMPERA_LIBCUDA. Sources that have not changed are not compiled again.
set -euo pipefail
out=$(realpath -m "$1")
cd "$(dirname "$0")/.."
objects=${XDG_CACHE_HOME:-$HOME/.cache}/tempera/fakecuda
mkdir -p "$objects" "$(dirname "$out")"
flags=(-std=c++17 -O2 -fPIC -I. -Wall -Wno-unused-function -Wno-unused-variable)
linked=()
for source in fake/*.cpp *.cu; do
  key=$({ echo "${flags[@]}"; cat fake/*.h ./*.cuh "$source"; } | sha256sum | cut -c1-24)
  object=$objects/$(basename "$source").$key.o
  if [ ! -e "$object" ]; then
    g++ "${flags[@]}" -c -o "$object.part$$" -x c++ "$source"
    mv "$object.part$$" "$object"
  fi
  linked+=("$object")
done
g++ -shared -o "$out" "${linked[@]}"
