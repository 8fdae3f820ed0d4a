#!/bin/sh
# Trains the character model of examples/char_lm on a Debian 12, from nothing: installs the packages
# it needs, builds, runs. Arguments are passed on; results go to char_lm_out.
set -eu
cd "$(dirname "$0")/.."
. cmake/dependencies.sh

need g++ cmake ninja-build libeigen3-dev nlohmann-json3-dev libcli11-dev libpng-dev
# nvcc's part takes longer than the rest: it is compiled where there is a device for it.
device=
command -v nvidia-smi > /dev/null || device=-DGATESCAN_NVCC=OFF
cmake --preset release -B build/demo -DGATESCAN_BUILD_TESTS=OFF -DGATESCAN_BUILD_BENCHMARKS=OFF \
  -DGATESCAN_CALL_FORMATS=float $device
cmake --build build/demo --target char_lm --parallel "$(nproc)"
exec build/demo/examples/char_lm --out char_lm_out "$@"
