#!/bin/sh
# Builds, checks and times the CUDA backend on this machine's card in one call of at most ten minutes,
# downloads nothing, and leaves a folder of results:
#
#   run.sh [RESULTS]          default: bench/cuda/results/DATE
#
#   summary.md     every phase: done, failed or skipped and why, with seconds and its log
#   bench.json     gatescan_bench_cuda: times, limits, recipes of the operands
#   peers.md       the table: ours, the peers', ratios, the bars; peers.json the same
#   *.log          what each phase said
#
# It wants nvcc and g++. What else is not there is skipped: GoogleTest for the tests on the device,
# compute-sanitizer, and for the peers a python (PYTHON names it) with bench/peers/cuda/
# requirements.txt. A phase that fails or takes too long is recorded, and the rest goes on. ARCH is
# nvcc's -arch, by default that of the card.
# Exit code 0: all phases that could run are right; 1: one failed.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
results=${1:-$root/bench/cuda/results/$(date -u +%Y-%m-%dT%H%MZ)}
build=${BUILD:-$root/build/card}
python=${PYTHON:-python3}
started=$(date +%s)
total=${SECONDS_IN_ALL:-585}
failures=0
mkdir -p "$results" "$build" || exit 1
phases=$results/phases
: >"$phases"

has() { command -v "$1" >/dev/null 2>&1; }
# note PHASE OUTCOME SECONDS
note() {
  printf '| %s | %s | %s |\n' "$1" "$2" "$3" >>"$phases"
  printf '%-10s %s (%s s)\n' "$1" "$2" "$3"
}

# Why nothing can be measured here, or nothing.
no_card() {
  if ! has nvidia-smi || ! nvidia-smi -L >/dev/null 2>&1; then
    echo 'no device: skipped'
  elif ! has nvcc; then
    echo 'no nvcc: skipped'
  elif ! has g++; then
    echo 'no g++: skipped'
  fi
}

# phase NAME SECONDS COMMAND...: at most so long, and at most what is left of the whole.
phase() {
  name=$1 limit=$2
  shift 2
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
  PHASE_SECONDS=$limit timeout -k 5 "$limit" "$@" >"$results/$name.log" 2>&1
  code=$?
  took=$(($(date +%s) - begun))
  case $code in
    0) note "$name" 'done' "$took" ;;
    77) note "$name" "skipped: $(tail -n 1 "$results/$name.log")" "$took" ;;
    124 | 137) note "$name" "FAILED: stopped after $limit s" "$took" ;;
    *) note "$name" "FAILED: code $code, see $name.log" "$took" ;;
  esac
  case $code in 0 | 77) ;; *) failures=$((failures + 1)) ;; esac
}

# What each phase does is a function of phases.sh, run by a shell of its own, so that timeout ends it.
do_phase() { phase "$1" "$2" sh "$root/bench/cuda/phases.sh" "$1" "$root" "$build" "$results"; }

export PYTHON="$python"
do_phase build 150
do_phase tests 90
do_phase memcheck 60
do_phase racecheck 60
do_phase bench 120
do_phase peers 200

{
  printf '# CUDA backend on a card, %s\n\n' "$(date -u +%Y-%m-%dT%H:%MZ)"
  nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader 2>/dev/null |
    sed 's/^/- card, driver, memory: /'
  has nvcc && nvcc --version | sed -n 's/^Cuda compilation tools, /- nvcc: /p'
  has g++ && printf -- '- g++: %s\n' "$(g++ -dumpfullversion)"
  commit=$(git -C "$root" rev-parse --short HEAD 2>/dev/null) && printf -- '- commit: %s\n' "$commit"
  printf '\n| phase | outcome | seconds |\n| --- | --- | --- |\n'
  cat "$phases"
  if [ -f "$results/peers.md" ]; then
    printf '\n'
    sed 's/^#/##/' "$results/peers.md"
  fi
} >"$results/summary.md"
rm -f "$phases"
echo "results: $results"
[ "$failures" -eq 0 ]
