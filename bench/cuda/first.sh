#!/bin/sh
# run.sh with the programs that prebuild.sh left in build/card: the first minutes on a card.
#
#   first.sh [RESULTS]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
card=$here/../../build/card
[ -f "$card/prebuilt" ] || { echo "first.sh: $card/prebuilt is not there: run prebuild.sh first" >&2; exit 2; }
for packed in "$card"/*.gz; do
  [ -f "$packed" ] && gunzip -f "$packed"
done
chmod +x "$card"/*_test "$card"/gatescan_bench_cuda 2>/dev/null || true
BUILD=$card exec sh "$here/run.sh" "$@"
