#!/usr/bin/env python3
"""The peers on a CUDA card beside gatescan_bench_cuda's times of the same run:

    compare.py OURS.json --out FOLDER/NAME [--seconds S] [--limit S]

writes FOLDER/NAME.json and .md. Each peer's result is compared with the numbers that gatescan shows
in OURS.json before it is timed. A package that is not there, or no device, is reported and left out.
Exit code 1: a result of a peer disagrees with ours.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import report
from forms import PACKAGES

HERE = Path(__file__).resolve().parent


def run_package(package: str, ours: Path, seconds: float, limit: float) -> list[dict]:
    """The worker's lines; where it died or took too long a line says so."""
    command = [sys.executable, HERE / "worker.py", package, ours, str(seconds)]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=limit, check=False)
        text, end = done.stdout, f"the process ended with code {done.returncode}"
        failed = done.returncode != 0
    except subprocess.TimeoutExpired as e:
        text = e.stdout.decode() if isinstance(e.stdout, bytes) else e.stdout or ""
        end, failed = f"stopped after {limit:.0f} s", True
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            pass  # cut short
    if failed:
        begun = [x["begins"] for x in lines if "begins" in x]
        ended = [x["entry"] for x in lines if "entry" in x]
        if len(begun) > len(ended):
            lines.append({"entry": begun[-1] | {"wrong": end}})
        elif not begun:
            lines.append({"missing": end})
    return lines


def collect(lines_of: dict[str, list[dict]], ours: dict) -> dict:
    result = {"ours": ours, "peers": [], "versions": {}, "limits": {}, "missing": {}}
    for package, lines in lines_of.items():
        for line in lines:
            if "missing" in line:
                result["missing"][package] = line["missing"]
            if "versions" in line:
                result["versions"][package] = line["versions"]
                result["limits"][package] = line["limits"]
            if "entry" in line:
                result["peers"].append(line["entry"])
    return result


def driver() -> str:
    try:
        return subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                              capture_output=True, text=True, check=True).stdout.split()[0]  # fmt: skip
    except (OSError, subprocess.CalledProcessError, IndexError):
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ours", type=Path, help="what gatescan_bench_cuda --out wrote")
    parser.add_argument("--out", type=Path, required=True, help="without its ending")
    parser.add_argument("--seconds", type=float, default=0.3, help="of each time that is taken")
    parser.add_argument("--limit", type=float, default=600, help="seconds that all peers may take")
    parser.add_argument("--packages", default=",".join(PACKAGES))
    options = parser.parse_args()
    ours = json.loads(options.ours.read_text())
    end = time.monotonic() + options.limit
    lines_of = {}
    for package in filter(None, options.packages.split(",")):
        print(package, file=sys.stderr, flush=True)
        left = max(1.0, end - time.monotonic())
        lines_of[package] = run_package(package, options.ours, options.seconds, left)
    result = collect(lines_of, ours) | {"driver": driver()}
    text = report.markdown(result)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{options.out}.json").write_text(json.dumps(result, indent=1) + "\n")
    Path(f"{options.out}.md").write_text(text)
    print(text)
    return 1 if any("is off by" in p.get("wrong", "") for p in result["peers"]) else 0


if __name__ == "__main__":
    sys.exit(main())
