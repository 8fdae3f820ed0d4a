"""One peer with one number of threads, in a process of its own: worker.py PEER THREADS.

Reads orders, one JSON object a line, and answers each with one. A process of its own, since
libraries take their threads once and for all, and since one that dies must not take others along.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

import numpy as np
from reference import what_is_wrong
from rows import all_rows


def seconds_of(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def best_of(peer, row, operands, want) -> tuple[dict, object]:
    """Tries every form: a wrong one is not timed, of the others the fastest is kept."""
    tried, best, best_run = {}, None, None
    for name, form in peer.forms(row):
        try:
            run = peer.prepare(row, form, operands)
            wrong = what_is_wrong(peer.to_numpy(run()), want)
        except Exception as e:  # a peer may fail in any way; that is a result
            wrong = f"{type(e).__name__}: {str(e).splitlines()[0][:200] if str(e) else ''}"
        if wrong:
            tried[name] = {"error": wrong}
            continue
        fastest = min(seconds_of(run) for _ in range(3))
        tried[name] = {"ms": 1e3 * fastest}
        if best is None or fastest < tried[best]["ms"] / 1e3:
            best, best_run = name, run
    return {"best": best, "tried": tried}, best_run


def time_for(run, seconds: float) -> dict:
    """Mean time of a call over at least so many seconds, as gatescan_bench does."""
    run()
    calls, start = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - start < seconds:
        run()
        calls += 1
    return {"ms": 1e3 * (time.perf_counter() - start) / calls}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(x: dict) -> None:
        print(json.dumps(x), file=answers, flush=True)

    try:
        peer = importlib.import_module(f"{sys.argv[1]}_peer")
    except ImportError as e:
        answer({"missing": str(e)})
        return
    peer.use_threads(int(sys.argv[2]))
    answer({"versions": peer.versions()})
    run = None
    for line in sys.stdin:
        order = json.loads(line)
        if "seconds" in order:
            answer(time_for(run, order["seconds"]))
            continue
        run = None  # its memory goes before the next row's comes
        row = next(r for r in all_rows(order["quick"]) if r.name == order["row"])
        with np.load(order["operands"]) as x, np.load(order["want"]) as want:
            result, run = best_of(peer, row, dict(x), dict(want))
        answer(result)


main()
