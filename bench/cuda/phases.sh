#!/bin/sh
# The phases of run.sh: phases.sh PHASE ROOT BUILD RESULTS. Exit code 77 and a last line that says why
# where something is not there.
set -u
phase=$1 root=$2 build=$3 results=$4
logs=$results/logs
python=${PYTHON:-python3}
device=$root/tests/device/hardware
bench=$build/gatescan_bench_cuda

skip() {
  echo "$1"
  exit 77
}
need_bench() { [ -x "$bench" ] || skip "no $(basename "$bench")"; }
has_gtest() { echo '#include <gtest/gtest.h>' | g++ -E -x c++ - >/dev/null 2>&1; }

# compile NAME COMMAND...: beside the others, with a log of its own; its process is $!
compile() {
  name=$1
  shift
  ("$@" >"$build/$name.log" 2>&1 || echo "$name" >>"$build/failed") &
}

build_all() {
  if [ -f "$build/prebuilt" ]; then
    cat "$build/prebuilt"
    skip 'carried programs are used'
  fi
  rm -f "$build/failed"
  arch="-arch=${ARCH:-native}"
  nvcc="nvcc -std=c++20 -I$root/include"
  objects='' of_bench=''
  for source in "$root"/bench/cuda/rows/*.cu "$root"/bench/cuda/*.cu; do
    name=$(basename "$source" .cu)
    objects="$objects $build/$name.o"
    # shellcheck disable=SC2086
    compile "$name" $nvcc $arch -O3 -c "$source" -o "$build/$name.o"
    of_bench="$of_bench $!"
  done
  for source in "$root"/bench/cuda/*.cpp; do
    name=$(basename "$source" .cpp)
    objects="$objects $build/$name.o"
    # shellcheck disable=SC2086
    compile "$name" $nvcc -x c++ -O1 -Xcompiler -march=native,-fopenmp -c "$source" \
      -o "$build/$name.o"
    of_bench="$of_bench $!"
  done
  if has_gtest; then
    for source in "$device"/*_test.cu; do
      name=$(basename "$source" .cu)
      rm -f "$build/$name"
      of_test=$arch
      case $name in warpgroups_*) of_test='-gencode arch=compute_90a,code=sm_90a' ;; esac
      # shellcheck disable=SC2086
      compile "$name" $nvcc $of_test -O2 "$source" "$device/main.cu" -lgtest -lpthread -o "$build/$name"
    done
  fi
  # shellcheck disable=SC2086
  wait $of_bench
  # shellcheck disable=SC2086
  compile link nvcc $objects -Xcompiler -fopenmp -o "$bench"
  wait
  if [ -f "$build/failed" ]; then
    while read -r name; do
      echo "== $name"
      cat "$build/$name.log"
    done <"$build/failed"
    exit 1
  fi
}

# Every test program side by side. Typed tests 1 and 2 are float and bf16, 3 and 4 half and wide.
run_tests() {
  ls "$build"/*_test >/dev/null 2>&1 || skip 'no test program: built without GoogleTest'
  filter='*/1.*:*/2.*:*/3.sizes*:*/4.sizes*:promises*:*streaming*:*nan*:attention_map*'
  filter=$filter:*tf32*:*warpgroups*:device_arithmetic*
  : >"$logs/tests.codes"
  for program in "$build"/*_test; do
    name=$(basename "$program")
    (
      timeout "$((${PHASE_SECONDS:-100} - 5))" "$program" --gtest_filter="$filter" --gtest_brief=1 \
        >"$logs/$name.log" 2>&1
      echo "$name $?" >>"$logs/tests.codes"
    ) &
  done
  wait
  cat "$logs/tests.codes"
  grep -h FAILED "$logs"/*_test.log | sort | uniq -c | head -n 40
  grep -qv -e ' 0$' -e ' 77$' "$logs/tests.codes" && exit 1
  grep -q ' 0$' "$logs/tests.codes" || skip 'no test program found a device'
}

# What three kinds of kernels wait for.
profile() {
  command -v ncu >/dev/null 2>&1 || skip 'no ncu'
  need_bench
  for row in 'gla, B 1' selective 'D 1536, float'; do
    echo "== $row"
    ncu --clock-control none --section SpeedOfLight --section Occupancy --section WarpStateStats \
      --section MemoryWorkloadAnalysis -k regex:run_.*blocks -c 10 \
      "$bench" --rows "$row" --seconds 0 || exit 1
  done
}

peers() {
  [ -s "$results/bench.json" ] || skip 'the phase bench left no times'
  command -v "$python" >/dev/null 2>&1 || skip "no $python"
  if ls "$build"/wheels/*.whl >/dev/null 2>&1; then
    "$python" -m pip install --quiet --no-index --no-deps --target "$build/site" "$build"/wheels/*.whl
    PYTHONPATH=$build/site
    export PYTHONPATH
  fi
  # without any package it writes the table of our own times
  "$python" "$root/bench/peers/cuda/compare.py" "$results/bench.json" --out "$logs/peers" \
    --limit "$((${PHASE_SECONDS:-200} - 15))"
}

# Memory or races, of one recurrence a tool: instrumented kernels take a hundred times as long.
sanitize() {
  tool=$1
  shift
  command -v compute-sanitizer >/dev/null 2>&1 || skip 'no compute-sanitizer'
  [ -x "$1" ] || skip "no $(basename "$1")"
  compute-sanitizer --tool "$tool" --error-exitcode 9 "$@"
}

case $phase in
  build) build_all ;;
  tiny) need_bench && "$bench" --tiny --seconds 0 ;;
  tests) run_tests ;;
  bench) need_bench && "$bench" --seconds 0.2 --out "$results/bench.json" ;;
  profile) profile ;;
  peers) peers ;;
  memcheck) sanitize memcheck "$bench" --tiny --seconds 0 --rows gla ;;
  racecheck) sanitize racecheck "$build/gla_grid_test" '--gtest_filter=*/2.wide_states' ;;
  *)
    echo "no phase is called $phase" >&2
    exit 2
    ;;
esac
