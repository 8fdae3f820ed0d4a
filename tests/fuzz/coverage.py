#!/usr/bin/env python3
"""How far the fuzzers get: runs of each, and the lines of the library that they reach together.

    coverage.py BUILD [SECONDS]     BUILD: the lane fuzz-coverage, built; SECONDS a fuzzer, 20

Counts lines of include/gatescan that clang made code of in these programs, by folder. A program that
finds a fault ends the report with its words.
"""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

LIBRARY = "/include/gatescan/"
LLVM = os.environ.get("LLVM_SUFFIX", "-14")  # of llvm-profdata and llvm-cov


def run_fuzzer(program, corpus, seconds):
    """Runs it from the corpus on, and returns the number of runs."""
    found = program.with_suffix(".found")
    found.mkdir(exist_ok=True)
    environment = dict(os.environ, LLVM_PROFILE_FILE=f"{program}.profraw")
    options = ["-seed=1", "-max_len=600", "-print_final_stats=1", f"-max_total_time={seconds}"]
    result = subprocess.run([program, *options, found, corpus], env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if result.returncode != 0:
        sys.exit(f"{program.name} failed:\n{result.stdout[-4000:]}")
    return int(re.search(r"number_of_executed_units: (\d+)", result.stdout)[1])


def lines_reached(programs):
    """{folder: {(file, line): whether it ran}} of the library, over all programs."""
    lines = defaultdict(dict)
    for program in programs:  # one by one: together their reports do not fit in memory
        merged = f"{program}.profdata"
        subprocess.run([f"llvm-profdata{LLVM}", "merge", "-sparse", f"{program}.profraw", "-o",
                        merged], check=True)
        report = subprocess.run([f"llvm-cov{LLVM}", "export", program, f"-instr-profile={merged}",
                                 "-format=lcov"], check=True, text=True, stdout=subprocess.PIPE)
        file = None
        for line in report.stdout.splitlines():
            if line.startswith("SF:"):
                path = line[3:]
                file = path.split(LIBRARY, 1)[1] if LIBRARY in path else None
            elif file and line.startswith("DA:"):
                number, count = line[3:].split(",")[:2]
                folder = str(Path(file).parent)
                key = file, int(number)
                lines[folder][key] = lines[folder].get(key, False) or int(count) > 0
    return lines


def main(build, seconds=20):
    folder = Path(build) / "tests"
    corpus = Path(__file__).resolve().parent / "corpus"
    programs = sorted(p for p in folder.rglob("fuzz_*") if p.is_file() and os.access(p, os.X_OK))
    if not programs:
        sys.exit(f"no fuzzers in {folder}: build the lane fuzz-coverage first")
    total = 0
    for program in programs:
        kind = program.name.split("_")[1]
        runs = run_fuzzer(program, corpus / kind, seconds)
        total += runs
        print(f"{program.name:40}{runs:10,} runs", flush=True)
    print(f"{'all':40}{total:10,} runs\n")
    lines = lines_reached(programs)
    every = {key: ran for of_folder in lines.values() for key, ran in of_folder.items()}
    for name, of_folder in [*sorted(lines.items()), ("all", every)]:
        reached = sum(of_folder.values())
        print(f"{name:40}{reached:7,} of {len(of_folder):6,} lines {reached / len(of_folder):6.0%}")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
