#!/bin/sh
# Builds and runs the tests on a Debian 12, from nothing: installs the packages it needs.
#   test.sh [LANE...]     lanes are presets: ci (the default), ranks, examples, device; rest; asan, tsan;
#                         asan-scopes, release, debug, clang, libcxx, valgrind, fuzz, fuzz-today.
#                         tests/README.md says what each is for.
set -eu
cd "$(dirname "$0")/.."
. cmake/dependencies.sh

need g++ cmake ninja-build pkg-config python3 libgtest-dev librapidcheck-dev libbenchmark-dev \
  libeigen3-dev nlohmann-json3-dev libcli11-dev libpng-dev libboost-context-dev \
  libopenmpi-dev openmpi-bin
jobs=$(nproc)
begin=$(date +%s)
say() { echo "== $lane (lane $number of $lanes), $(($(date +%s) - begin)) s: $1"; }

[ $# -gt 0 ] || set -- ci
lanes=$#
number=0
for lane in "$@"; do
  number=$((number + 1))
  [ "$lane" != clang ] || need clang libomp-dev
  [ "$lane" != libcxx ] || need clang-14 libc++-14-dev libc++abi-14-dev
  [ "$lane" != valgrind ] || need valgrind
  [ "${lane#fuzz}" = "$lane" ] || need clang-14 libclang-rt-14-dev
  say 'configures'
  cmake --preset "$lane"
  say 'compiles'
  NINJA_STATUS='[%f of %t, %e s] ' cmake --build --preset "$lane" --parallel "$jobs"
  # ThreadSanitizer needs the addresses where it expects them: kernels that randomise them more
  # widely than it knows stop it at its start.
  steady=
  [ "$lane" != tsan ] || ! setarch -R true 2>/dev/null || steady='setarch -R'
  say 'runs'
  $steady ctest --preset "$lane" --parallel "$jobs"
  say 'has passed'
done
