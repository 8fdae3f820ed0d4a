#!/bin/sh
# The phases that failed, once more:
#
#   again.sh RESULTS [NEW_RESULTS]      RESULTS: a folder that run.sh or first.sh left
set -eu
here=$(cd "$(dirname "$0")" && pwd)
results=$1
if [ ! -s "$results/failed" ]; then
  echo 'no phase failed'
  exit 0
fi
ONLY=$(tr '\n' ' ' <"$results/failed")
export ONLY
again=${2:-$results-again}
mkdir -p "$again"
[ ! -f "$results/bench.json" ] || cp "$results/bench.json" "$again"  # the peers' operands
exec sh "$here/run.sh" "$again"
