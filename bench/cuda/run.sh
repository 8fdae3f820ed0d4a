#!/bin/sh
# Builds, checks and times the CUDA backend on this machine's card in one call of at most ten minutes,
# downloads nothing, and leaves a small folder of results:
#
#   run.sh [RESULTS]          default: bench/cuda/results/DATE
#
#   summary.md     every phase: done, failed or skipped and why, with seconds; the table of peers
#   bench.json     gatescan_bench_cuda: times, limits, recipes of the operands
#   failed         names of the phases that failed, for again.sh
#   all.tgz        what each phase said, the profiles, and the peers' answers
#
# Phases answer in the order of worth: is it right on tiny shapes, are the promises kept, what are the
# times, why (profiles of three rows), how do the peers do on the same operands, and what do the
# sanitizers say. ONLY names the phases to run. A phase that fails or takes too long is recorded, and
# the rest goes on.
#
# It wants nvcc and g++, unless BUILD is a folder that prebuild.sh made (first.sh). What else is not
# there is skipped: GoogleTest for the tests on the device, ncu, compute-sanitizer, and for the peers
# a python (PYTHON names it) with bench/peers/cuda/requirements.txt. ARCH is nvcc's -arch, by default
# that of the card.
# Exit code 0: all phases that could run are right; 1: one failed.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
results=${1:-$root/bench/cuda/results/$(date -u +%Y-%m-%dT%H%MZ)}
build=${BUILD:-$root/build/card}
python=${PYTHON:-python3}
only=${ONLY:-build tiny tests bench profile peers memcheck racecheck}
started=$(date +%s)
total=${SECONDS_IN_ALL:-585}
logs=$results/logs
mkdir -p "$logs" "$build" || exit 1
phases=$logs/phases
: >"$phases"
: >"$results/failed"

has() { command -v "$1" >/dev/null 2>&1; }
prebuilt() { [ -f "$build/prebuilt" ]; }
# note PHASE OUTCOME SECONDS
note() {
  printf '| %s | %s | %s |\n' "$1" "$2" "$3" >>"$phases"
  printf '%-10s %s (%s s)\n' "$1" "$2" "$3"
}

# Why nothing can be measured here, or nothing.
no_card() {
  if ! has nvidia-smi || ! nvidia-smi -L >/dev/null 2>&1; then
    echo 'no device: skipped'
  elif prebuilt; then
    :
  elif ! has nvcc; then
    echo 'no nvcc: skipped'
  elif ! has g++; then
    echo 'no g++: skipped'
  fi
}

# phase NAME SECONDS: a function of phases.sh, run by a shell of its own, so that timeout ends it; at
# most so long, and at most what is left of the whole.
phase() {
  name=$1 limit=$2
  case " $only " in *" $name "*) ;; *) return 0 ;; esac
  why=$(no_card)
  if [ -n "$why" ]; then
    note "$name" "$why" 0
    return 0
  fi
  begun=$(date +%s)
  left=$((total - (begun - started)))
  [ "$limit" -le "$left" ] || limit=$left
  if [ "$limit" -lt 5 ]; then
    note "$name" 'no time left: skipped' 0
    return 0
  fi
  PHASE_SECONDS=$limit timeout -k 5 "$limit" sh "$root/bench/cuda/phases.sh" "$name" "$root" \
    "$build" "$results" >"$logs/$name.log" 2>&1
  code=$?
  took=$(($(date +%s) - begun))
  case $code in
    0) note "$name" 'done' "$took" ;;
    77) note "$name" "skipped: $(tail -n 1 "$logs/$name.log")" "$took" ;;
    124 | 137) note "$name" "FAILED: stopped after $limit s" "$took" ;;
    *) note "$name" "FAILED: code $code, see $name.log" "$took" ;;
  esac
  case $code in 0 | 77) ;; *) echo "$name" >>"$results/failed" ;; esac
}

# What comes back, however this ends.
gather() {
  {
    printf '# CUDA backend on a card, %s\n\n' "$(date -u +%Y-%m-%dT%H:%MZ)"
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null |
      sed 's/^/- card, driver, memory: /'
    has nvcc && nvcc --version | sed -n 's/^Cuda compilation tools, /- nvcc: /p'
    prebuilt && sed 's/^/- carried: /' "$build/prebuilt"
    commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null) && printf -- '- commit: %s\n' "$commit"
    printf '\n| phase | outcome | seconds |\n| --- | --- | --- |\n'
    cat "$phases"
    if [ -f "$logs/peers.md" ]; then
      printf '\n'
      sed 's/^#/##/' "$logs/peers.md"
    fi
  } >"$results/summary.md"
  tar czf "$results/all.tgz" -C "$results" logs && rm -r "$logs"
  echo "results: $results"
}
trap gather EXIT
trap 'exit 1' INT TERM

export PYTHON="$python"
phase build 150
phase tiny 40
phase tests 100
phase bench 100
phase profile 70
phase peers 120
phase memcheck 40
phase racecheck 40
[ ! -s "$results/failed" ]
