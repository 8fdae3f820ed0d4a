#!/bin/sh
# first.sh and again.sh without a card: stand-ins for the card and for carried programs, and what must
# come of them. Every phase is reached or says why not, what failed runs again alone, and one archive
# comes back. Exit code 1: something else came.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# a copy of the scripts, so that nothing that is built or carried is touched
mkdir -p "$work/bench/cuda" "$work/bench/peers" "$work/tools" "$work/build/card" "$work/answers"
cp "$here"/*.sh "$work/bench/cuda"
cp -r "$here/../peers/cuda" "$work/bench/peers/cuda"
card=$work/build/card
wrong=0

# program FILE CODE [LAST LINE]: a stand-in that says so
program() {
  printf '#!/bin/sh\necho "$(basename "$0") $*" >>%s/ran\necho "%s"\nexit %s\n' "$work" "${3:-}" "$2" >"$1"
  chmod +x "$1"
}
carry() {
  rm -f "$card"/*
  program "$card/gatescan_bench_cuda" "$1" "$2"
  program "$card/gla_grid_test" "$3" "$4"
  gzip "$card/gatescan_bench_cuda" "$card/gla_grid_test"
  echo 'gla_grid_test, 1 bytes packed' >"$card/prebuilt"
  : >"$work/ran"
}
# call SCRIPT RESULTS...: its exit code is $code, what it said $work/said
call() {
  script=$1
  shift
  code=0
  PATH="$work/tools:/usr/bin:/bin" PYTHON=no_python sh "$work/bench/cuda/$script" "$@" \
    >"$work/said" 2>&1 || code=$?
}
# expect WHAT FILE PATTERN
expect() {
  grep -q -- "$3" "$2" && return 0
  echo "rehearse.sh: $1: no '$3' in:" >&2
  cat "$2" >&2
  wrong=1
}
is() {
  [ "$2" = "$3" ] && return 0
  echo "rehearse.sh: $1: $2, not $3" >&2
  wrong=1
}

# no card at all: every phase says so
carry 0 '' 0 ''
call first.sh "$work/none"
is 'exit code without a card' "$code" 0
is 'phases without a card' "$(grep -c 'no device: skipped' "$work/none/summary.md")" 8

# a card that no program finds
program "$work/tools/nvidia-smi" 0 'GPU 0: a stand-in'
carry 77 'no device here' 77 ''
call first.sh "$work/unfound"
is 'exit code where programs find no device' "$code" 0
for line in 'build | skipped: carried programs are used' 'tiny | skipped: no device here' \
  'tests | skipped: no test program found a device' 'bench | skipped: no device here' \
  'profile | skipped: no ncu' 'peers | skipped: the phase bench left no times' \
  'memcheck | skipped: no compute-sanitizer' 'racecheck | skipped: no compute-sanitizer'; do
  expect 'a device that is not found' "$work/unfound/summary.md" "$line"
done
expect 'what was carried' "$work/unfound/summary.md" 'carried: gla_grid_test, 1 bytes packed'

# tools, and a test that fails: the rest goes on
program "$work/tools/ncu" 0
program "$work/tools/compute-sanitizer" 0
carry 0 '' 1 '[  FAILED  ] gla'
call first.sh "$work/failing"
is 'exit code where a test fails' "$code" 1
for line in 'tiny | done' 'tests | FAILED: code 1' 'bench | done' 'profile | done' \
  'memcheck | done' 'racecheck | done'; do
  expect 'a test that fails' "$work/failing/summary.md" "$line"
done
is 'phases that failed' "$(cat "$work/failing/failed")" tests
for call_of in 'gatescan_bench_cuda --tiny' 'gla_grid_test --gtest_filter' \
  'gatescan_bench_cuda --seconds 0.2 --out' 'ncu --clock-control' \
  'compute-sanitizer --tool memcheck' 'compute-sanitizer --tool racecheck'; do
  expect 'what was run' "$work/ran" "$call_of"
done
tar tzf "$work/failing/all.tgz" >"$work/archive"
for file in tests.log gla_grid_test.log bench.log profile.log memcheck.log racecheck.log phases; do
  expect 'the archive' "$work/archive" "logs/$file"
done
is 'files that come back' "$(find "$work/failing" -type f | wc -l)" 3

# again.sh: what failed, alone, and it is right now
program "$card/gla_grid_test" 0
: >"$work/ran"
BUILD=$card
export BUILD
call again.sh "$work/failing" "$work/second"
is 'exit code of again.sh' "$code" 0
expect 'again.sh' "$work/second/summary.md" 'tests | done'
is 'phases that again.sh runs' "$(grep -c '^| [a-z]* | [a-zF]' "$work/second/summary.md")" 2
is 'programs that again.sh runs' "$(grep -vc nvidia-smi "$work/ran")" 1
call again.sh "$work/second"
expect 'again.sh after it' "$work/said" 'no phase failed'

# carried tests only
unset BUILD
carry 0 '' 0 ''
rm "$card/gatescan_bench_cuda.gz"
call first.sh "$work/partly"
is 'exit code without the bench' "$code" 0
expect 'no bench' "$work/partly/summary.md" 'tiny | skipped: no gatescan_bench_cuda'
expect 'no bench' "$work/partly/summary.md" 'profile | skipped: no gatescan_bench_cuda'
expect 'no bench' "$work/partly/summary.md" 'tests | done'

[ "$wrong" -eq 0 ] && echo 'rehearsed: every phase was reached, or said why not'
exit "$wrong"
