#!/usr/bin/env bash
# toolchain.sh headers|compiler: puts CUDA 11.8's cuda.h, or its compiler as well, into the cache and prints the folder. Nothing is installed.
#
# The files come from Debian's packages (non-free), those of nvidia-cuda-dev from the first 80 MB of 774: the headers lie before the libraries.
# CUDA_HEADERS names a folder with cuda.h, CUDA_HOME a toolkit: then nothing is fetched.
set -euo pipefail
want=${1:?headers or compiler}
here=$(cd "$(dirname "$0")" && pwd)

if [ "$want" = headers ] && [ -n "${CUDA_HEADERS:-}" ]; then echo "$CUDA_HEADERS"; exit; fi
if [ -n "${CUDA_HOME:-}" ]; then
  if [ "$want" = headers ]; then echo "$CUDA_HOME/include"; else echo "$CUDA_HOME"; fi
  exit
fi

cache=${XDG_CACHE_HOME:-$HOME/.cache}/tempera/cuda-11.8
answer() { if [ "$want" = headers ]; then echo "$cache/include"; else echo "$cache/toolkit"; fi; }
if [ -e "$cache/$want.done" ]; then answer; exit; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/lists/partial "$work"/cache/archives/partial "$cache"
mirror=${DEBIAN_MIRROR:-$(apt-get update --print-uris 2>/dev/null | sed -n "s#^'\(.*\)/dists/.*#\1#p" | head -1)} # of the machine's own sources, which need not have been read
: "${mirror:?no Debian mirror is configured here: set CUDA_HEADERS to a folder with cuda.h, CUDA_HOME to a toolkit, or DEBIAN_MIRROR}"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bookworm contrib non-free" > "$work/sources.list"
cat > "$work/apt.conf" <<CONF
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "-";
Dir::State::lists "$work/lists";
Dir::Cache "$work/cache";
APT::Sandbox::User "root";
CONF
export APT_CONFIG=$work/apt.conf
apt-get update -qq >&2

# head_of_deb unpacks what the first bytes of a package hold.
head_of_deb() { # package, bytes, members...
  local uri; uri=$(apt-get download --print-uris "$1" 2>/dev/null | cut -d"'" -f2)
  curl -fsS --range "0-$2" -o "$work/head.deb" "$uri"
  shift 2
  # the members of the archive: 8 bytes, then a header of 60 and the data of each, in even sizes; data.tar is the third
  local at=8 size name
  while :; do
    name=$(dd if="$work/head.deb" bs=1 skip=$at count=16 2>/dev/null | tr -d ' ')
    size=$(dd if="$work/head.deb" bs=1 skip=$((at + 48)) count=10 2>/dev/null | tr -d ' ')
    at=$((at + 60))
    case $name in data.tar*) break ;; esac
    at=$((at + size + size % 2))
  done
  tail -c +$((at + 1)) "$work/head.deb" | { xz -dc 2>/dev/null || true; } | { tar xf - -C "$work" "$@" 2>/dev/null || true; }
}

if [ "$want" = headers ]; then
  head_of_deb nvidia-cuda-dev 30000000 ./usr/include/cuda.h
  mkdir -p "$cache/include"
  mv "$work/usr/include/cuda.h" "$cache/include/"
  (cd "$cache/include" && sha256sum --quiet -c <(grep cuda.h "$here/toolchain.sha256")) >&2
else
  head_of_deb nvidia-cuda-dev 80000000 ./usr/include
  (cd "$work/usr/include" && sha256sum --quiet -c "$here/toolchain.sha256") >&2
  cd "$work"
  apt-get download -qq nvidia-cuda-toolkit libnvvm4 >&2
  for deb in *toolkit*.deb libnvvm*.deb; do dpkg-deb -x "$deb" .; done
  rm -rf "$cache/toolkit"
  mkdir -p "$cache/toolkit"/{lib64,nvvm/lib64}
  mv usr/include "$cache/toolkit/include"
  mv usr/bin usr/lib/nvidia-cuda-toolkit/libdevice "$cache/toolkit/"
  mv usr/lib/x86_64-linux-gnu/libnvvm.so* "$cache/toolkit/nvvm/lib64/"
  rm -f usr/lib/nvidia-cuda-toolkit/bin/g{cc,++} usr/lib/nvidia-cuda-toolkit/bin/nvcc.profile
  cp -rf usr/lib/nvidia-cuda-toolkit/bin/. "$cache/toolkit/bin/"
  cat > "$cache/toolkit/bin/nvcc.profile" <<'PROFILE'
TOP = $(_HERE_)/..
NVVMIR_LIBRARY_DIR = $(TOP)/libdevice
LD_LIBRARY_PATH += $(TOP)/nvvm/lib64:
PATH += $(_HERE_):
INCLUDES += "-I$(TOP)/include" $(_SPACE_)
PROFILE
fi
touch "$cache/$want.done"
answer
