#!/bin/sh
# Builds and runs the tests on a Debian 12, from nothing: installs the packages it needs.
#   test.sh [PRESET...]     presets: ci, asan, tsan (these are the default), asan-scopes, release,
#                           debug, clang
set -eu
cd "$(dirname "$0")/.."
. cmake/dependencies.sh

need g++ cmake ninja-build pkg-config python3 libgtest-dev librapidcheck-dev libbenchmark-dev \
  libeigen3-dev nlohmann-json3-dev libcli11-dev libpng-dev libboost-context-dev
jobs=$(nproc)

[ $# -gt 0 ] || set -- ci asan tsan
for preset in "$@"; do
  echo "== $preset"
  [ "$preset" != clang ] || need clang libomp-dev
  cmake --preset "$preset"
  cmake --build --preset "$preset" --parallel "$jobs"
  # ThreadSanitizer needs the addresses where it expects them: kernels that randomise them more
  # widely than it knows stop it at its start.
  steady=
  [ "$preset" != tsan ] || ! setarch -R true 2>/dev/null || steady='setarch -R'
  $steady ctest --preset "$preset" --parallel "$jobs"
done
