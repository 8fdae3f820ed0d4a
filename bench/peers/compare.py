#!/usr/bin/env python3
"""gatescan against PyTorch, JAX, ggml and ONNX Runtime, on the rows of rows.py. See README.md.

Everybody runs in the same environment, on the same cores, and in turns: each round times everybody
once, so that whatever else the machine does hits all alike. What is reported is the median of the
rounds, and their range.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import reference
import report
from operands import operands
from rows import Row, all_rows

HERE = Path(__file__).resolve().parent
PEERS = ("torch", "jax", "ggml", "onnxruntime")


def cpu_line(key: str) -> str:
    try:
        found = re.search(rf"^{key}\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found[1] if found else ""


def environment(threads: int) -> dict[str, str]:
    """What makes peers as fast as they can be; gatescan_bench gets the same."""
    n = str(threads)
    settings = {
        "OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n, "MKL_NUM_THREADS": n,
        "NPROC": n,  # XLA's pool of threads
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", "") +
                     f" --xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}",
        "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "",
        # Large tensors stay mapped from call to call: else every call faults in all their pages.
        "MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(64 << 20), "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
    }
    if "avx512dq" in cpu_line("flags"):  # which OpenBLAS does not always see in virtual machines
        settings["OPENBLAS_CORETYPE"] = "SkylakeX"
    return settings


def start(command: list, threads: int, **options) -> subprocess.Popen:
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    return subprocess.Popen(command, env=os.environ | environment(threads), text=True,
                            stdout=subprocess.PIPE,
                            preexec_fn=lambda: os.sched_setaffinity(0, cores), **options)


class Gatescan:
    """gatescan_bench, called anew for every block. It holds each cell against its own oracle."""

    name = "gatescan"

    def __init__(self, program: Path, threads: int):
        self.program, self.threads = program, threads
        self.label = f"gatescan, threads {threads}"
        self.versions, self.missing = {}, ""

    def call(self, filter: str, seconds: float) -> dict[str, float]:
        """Milliseconds by name."""
        process = start([self.program, f"--threads={self.threads}", f"--benchmark_filter={filter}",
                         f"--benchmark_min_time={seconds}", "--benchmark_format=json"],
                        self.threads, stderr=subprocess.DEVNULL)
        text = process.communicate()[0]
        if not text.startswith("{"):
            return {}
        result = json.loads(text)
        self.versions = {k: v for k, v in result["context"].items() if k.startswith("limits")}
        return {b["name"]: b["real_time"] for b in result["benchmarks"] if "real_time" in b
                and not b.get("error_occurred")}

    def prepare(self, row: Row, quick: bool, paths: dict) -> dict:
        """Picks the fastest mode of each pass."""
        self.cells, tried = [], {}
        for cells in row.cells(self.threads):
            times = self.call(cells, 0.01 if quick else 0.1)
            if not times:
                return {"best": None, "tried": {}, "error": f"{cells}: no such cell, or refused"}
            self.cells.append(min(times, key=times.get))
            tried |= {name.split("/", 3)[1] + ", " + name.split("/", 3)[2]: {"ms": ms}
                      for name, ms in times.items()}
        best = " + ".join(c.split("/")[2] for c in self.cells)
        return {"best": best, "tried": tried}

    def time(self, seconds: float) -> float:
        times = [self.call("^" + re.escape(c) + "$", seconds).get(c) for c in self.cells]
        if None in times:
            raise RuntimeError("gatescan_bench gave no time")
        return sum(times)

    def stop(self):
        pass


class Peer:
    """A worker. One that dies is reported, and started again for the next row."""

    def __init__(self, name: str, threads: int):
        self.name = self.label = name
        self.threads = threads
        self.launch()

    def launch(self):
        self.process = start([sys.executable, HERE / "worker.py", self.name, str(self.threads)],
                             self.threads, stdin=subprocess.PIPE, bufsize=1)
        hello = self.answer()
        self.versions = hello.get("versions", {})
        self.missing = hello.get("missing", hello.get("error", ""))

    def answer(self) -> dict:
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": f"died with code {self.process.wait()}"}

    def ask(self, **order) -> dict:
        try:
            print(json.dumps(order), file=self.process.stdin)
        except BrokenPipeError:
            pass  # it died: there is no answer either
        return self.answer()

    def prepare(self, row: Row, quick: bool, paths: dict) -> dict:
        if self.process.poll() is not None:
            self.launch()
        return {"best": None, "tried": {}} | self.ask(row=row.name, quick=quick, **paths)

    def time(self, seconds: float) -> float:
        answer = self.ask(seconds=seconds)
        if "ms" not in answer:
            raise RuntimeError(answer["error"])
        return answer["ms"]

    def stop(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()


def write_operands(row: Row, folder: str) -> dict[str, str]:
    paths = {"operands": f"{folder}/operands.npz", "want": f"{folder}/want.npz"}
    x = operands(row)
    np.savez(paths["operands"], **x)
    np.savez(paths["want"], **reference.results(row, x))
    return paths


def compare_row(row: Row, all_runners: list, options, folder: str) -> list[dict]:
    paths = write_operands(row, folder)
    entries, running = [], []
    for runner in all_runners:
        print(f"  {runner.name}, threads {runner.threads}", file=sys.stderr, flush=True)
        entry = {"row": row.name, "by": runner.name, "threads": runner.threads, "ms": [],
                 **runner.prepare(row, options.quick, paths)}
        entries.append(entry)
        if entry["best"]:
            running.append((runner, entry))
    for i in range(options.rounds):
        turn = i % max(1, len(running))
        for runner, entry in running[turn:] + running[:turn]:  # nobody always follows the same
            if "error" in entry:
                continue
            try:
                entry["ms"].append(runner.time(options.seconds))
            except RuntimeError as e:
                entry |= {"error": str(e), "ms": []}
    for entry in entries:
        if entry["ms"]:
            entry |= {"median": statistics.median(entry["ms"]), "min": min(entry["ms"]),
                      "max": max(entry["ms"])}
    own = {e["threads"]: e["median"] for e in entries if e["by"] == "gatescan" and e["ms"]}
    for entry in entries:
        if entry["ms"] and entry["threads"] in own:
            entry["ratio"] = entry["median"] / own[entry["threads"]]
    return entries


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", type=Path,
                        default=HERE.parents[1] / "build/release/bench/gatescan_bench")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, like 1,2")
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--rows", default="", help="a regular expression of rows' names")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each turn")
    parser.add_argument("--quick", action="store_true",
                        help="tiny shapes and one short round: is everything right?")
    parser.add_argument("--out", type=Path, default=HERE.parents[1] / "build/peers",
                        help="path of the .md, .json and .svg, without their ending")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.02
    if not options.program.exists():
        parser.error(f"{options.program}: no such program; build the target gatescan_bench")
    rows = [r for r in all_rows(options.quick) if re.search(options.rows, r.name)]
    threads = [int(n) for n in options.threads.split(",")]
    if not rows or max(threads) > len(os.sched_getaffinity(0)):
        parser.error("no such rows, or more threads than cores")

    result = {"date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
              "cpu": cpu_line("model name") or platform.processor(),
              "python": platform.python_version(), "quick": options.quick,
              "load_before": os.getloadavg()[0], "rounds": options.rounds,
              "seconds": options.seconds, "versions": {}, "missing": {}, "entries": [],
              "environment": {n: environment(n) for n in threads}}
    runners = []
    for n in threads:
        for runner in [Gatescan(options.program, n),
                       *(Peer(name, n) for name in options.peers.split(",") if name)]:
            if runner.missing:
                result["missing"][runner.name] = runner.missing
                print(f"{runner.name}: not here ({runner.missing})", file=sys.stderr)
                runner.stop()
            else:
                runners.append(runner)
    with tempfile.TemporaryDirectory() as folder:
        for row in rows:
            print(row.name, file=sys.stderr, flush=True)
            result["entries"] += compare_row(row, runners, options, folder)
            result["versions"] = {runner.label: runner.versions for runner in runners}
            text = report.write(result, options.out)  # at once: a run that is cut short counts too
    for runner in runners:
        runner.stop()
    print(text)
    wrong = [e for e in result["entries"]
             if e.get("error") or any("error" in t for t in e["tried"].values())]
    for e in wrong:
        for form, t in e["tried"].items():
            if "error" in t:
                print(f"{e['row']}, {e['by']}, {form}: {t['error']}", file=sys.stderr)
        if e.get("error"):
            print(f"{e['row']}, {e['by']}: {e['error']}", file=sys.stderr)
    return 1 if any(e["by"] == "gatescan" for e in wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
