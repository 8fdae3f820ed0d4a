#!/bin/sh
# The phases of run.sh: phases.sh PHASE ROOT BUILD RESULTS. Exit code 77 and a last line that says why
# where something is not there.
set -u
phase=$1 root=$2 build=$3 results=$4
python=${PYTHON:-python3}
device=$root/tests/device/hardware

skip() {
  echo "$1"
  exit 77
}
has_gtest() { echo '#include <gtest/gtest.h>' | g++ -E -x c++ - >/dev/null 2>&1; }

# What makes each file; all at once, and each with a log of its own.
compile() {
  name=$1
  shift
  ("$@" >"$build/$name.log" 2>&1 || echo "$name" >>"$build/failed") &
}

build_all() {
  rm -f "$build/failed"
  nvcc="nvcc -std=c++20 -arch=${ARCH:-native} --Werror all-warnings -I$root/include"
  objects=''
  for source in "$root"/bench/cuda/rows/*.cu "$root"/bench/cuda/*.cu; do
    name=$(basename "$source" .cu)
    objects="$objects $build/$name.o"
    # shellcheck disable=SC2086
    compile "$name" $nvcc -O3 -c "$source" -o "$build/$name.o"
  done
  include=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")/include
  for source in "$root"/bench/cuda/*.cpp; do
    name=$(basename "$source" .cpp)
    objects="$objects $build/$name.o"
    compile "$name" g++ -std=c++20 -O1 -march=native -fopenmp -I"$root/include" -isystem "$include" \
      -c "$source" -o "$build/$name.o"
  done
  if has_gtest; then
    for source in "$device"/*_test.cu; do
      name=$(basename "$source" .cu)
      rm -f "$build/$name"
      # shellcheck disable=SC2086
      compile "$name" $nvcc -O2 "$source" "$device/main.cu" -lgtest -lpthread -o "$build/$name"
    done
  fi
  wait
  # shellcheck disable=SC2086
  compile link nvcc $objects -Xcompiler -fopenmp -o "$build/gatescan_bench_cuda"
  wait
  if [ -f "$build/failed" ]; then
    while read -r name; do
      echo "== $name"
      cat "$build/$name.log"
    done <"$build/failed"
    exit 1
  fi
}

# run_tests FILTER [TOOL...]: every test program on some of its tests, one after another. Returns 77
# where none ran.
run_tests() {
  filter=$1
  shift
  ran=0 failed=0
  for program in "$build"/*_test; do
    [ -x "$program" ] || continue
    echo "== $(basename "$program")"
    "$@" "$program" --gtest_filter="$filter" --gtest_brief=1
    case $? in
      0) ran=1 ;;
      77) ;;
      *) failed=1 ;;
    esac
  done
  [ "$failed" -eq 0 ] || return 1
  [ "$ran" -eq 1 ] || return 77
}

# Memory or races: the tests that are there, and the rows of the benchmark on tiny shapes.
sanitize() {
  command -v compute-sanitizer >/dev/null 2>&1 || skip 'no compute-sanitizer'
  tool="compute-sanitizer --tool $1 --error-exitcode 9"
  # shellcheck disable=SC2086
  $tool "$build/gatescan_bench_cuda" --tiny --seconds 0 || exit 1
  # tests 1 and 2 of each kind are float and bf16
  # shellcheck disable=SC2086
  run_tests '*/1.wide_states:*/2.wide_states:*/1.long_chunks' $tool
  case $? in 0 | 77) ;; *) exit 1 ;; esac
}

case $phase in
  build) build_all ;;
  tests)
    has_gtest || skip 'no GoogleTest'
    run_tests '*/1.*:*/2.*:promises*'
    case $? in
      0) ;;
      77) skip 'no test program was built, or none found a device' ;;
      *) exit 1 ;;
    esac
    ;;
  memcheck) sanitize memcheck ;;
  racecheck) sanitize racecheck ;;
  bench) "$build/gatescan_bench_cuda" --out "$results/bench.json" ;;
  peers)
    [ -s "$results/bench.json" ] || skip 'the phase bench left no times'
    command -v "$python" >/dev/null 2>&1 || skip "no $python"
    # without any package it writes the table of our own times
    "$python" "$root/bench/peers/cuda/compare.py" "$results/bench.json" --out "$results/peers" \
      --limit "$((${PHASE_SECONDS:-200} - 15))"
    ;;
  *)
    echo "no phase is called $phase" >&2
    exit 2
    ;;
esac
