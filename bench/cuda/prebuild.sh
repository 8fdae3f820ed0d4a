#!/bin/sh
# Programs for a card, built where there is none: for sm_80 and sm_90, the CUDA runtime, the C++
# library and GoogleTest inside, packed for the way. Wants nvcc, g++ and GoogleTest. Leaves build/card,
# to be carried beside the sources for first.sh.
#
#   prebuild.sh [NAME...]     default: gatescan_bench_cuda and every test on a device
#
# JOBS: how many compilers at once (1). With WHEELS=yes also the peers' pure Python wheels.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
card=$root/build/card
objects=$card/objects
device=$root/tests/device/hardware
mkdir -p "$objects"
rm -f "$card/prebuilt"
cd "$root"
if [ $# -eq 0 ]; then
  set -- gatescan_bench_cuda
  for source in "$device"/*_test.cu; do set -- "$@" "$(basename "$source" .cu)"; done
fi
archs='-gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90'
nvcc="nvcc -std=c++20 -Iinclude"

# made FILE COMMAND...: with the seconds that it took and its size
made() {
  file=$1 begun=$(date +%s)
  shift
  "$@"
  printf '%s: %s s, %s bytes\n' "$(basename "$file")" $(($(date +%s) - begun)) "$(wc -c <"$file")"
}
bench() {
  for source in bench/cuda/rows/*.cu bench/cuda/*.cu; do
    # shellcheck disable=SC2086
    echo $nvcc $archs -O3 -c "$source" -o "$objects/$(basename "$source" .cu).o"
  done >"$objects/commands"
  for source in bench/cuda/*.cpp; do
    echo nvcc -x c++ -std=c++20 -O2 -Xcompiler -fopenmp,-march=x86-64-v3 -Iinclude -c "$source" \
      -o "$objects/$(basename "$source" .cpp).o"
  done >>"$objects/commands"
  xargs -P "${JOBS:-1}" -I{} sh -c '{}' <"$objects/commands"
  nvcc "$objects"/*.o -Xcompiler -fopenmp,-static-libstdc++ -o "$card/gatescan_bench_cuda"
}
test_program() {
  of_test=$archs
  case $1 in warpgroups_*) of_test='-gencode arch=compute_90a,code=sm_90a' ;; esac
  # shellcheck disable=SC2086
  $nvcc $of_test -O2 "$device/$1.cu" "$device/main.cu" -Xcompiler -static-libstdc++ -lgtest -lpthread \
    -o "$card/$1"
}

for name in "$@"; do
  if [ "$name" = gatescan_bench_cuda ]; then
    made "$card/$name" bench
  else
    made "$card/$name" test_program "$name"
  fi
  strip "$card/$name"
  gzip -f "$card/$name"
done
rm -r "$objects"
if [ "${WHEELS:-no}" = yes ]; then
  grep '^fla' bench/peers/cuda/requirements.txt |
    xargs "${PYTHON:-python3}" -m pip download --quiet --no-deps -d "$card/wheels"
fi
{
  nvcc --version | sed -n 's/^Cuda compilation tools, /nvcc /p'
  git rev-parse --short HEAD 2>/dev/null | sed 's/^/commit /'
  for packed in "$card"/*.gz; do echo "$(basename "$packed" .gz), $(wc -c <"$packed") bytes packed"; done
} >"$card/prebuilt"
du -sh "$card"
