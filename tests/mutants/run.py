#!/usr/bin/env python3
"""Proves that the tests notice: each patch here is a plausible bug, and one test must fail for it.

    tests/mutants/run.py                      every mutant, some ten minutes of two cores
    tests/mutants/run.py scan_order ...       these
    tests/mutants/run.py --slice 2/8          the second eighth of them
    tests/mutants/run.py --today 8            an eighth, another one every day
    cmake --build build/release --target mutants

The first line of a patch is `ROW | TEST [NAME=VALUE...] | WHAT`: the row of failure it stands for,
the test program that must notice, macros that make less of it, and the bug in words. The headers are
copied, patched there, and the test program is compiled against the copy; before that it must pass on
the headers as they are. A patch that does
not apply any more, or does not compile, is an error too: make it anew against the code of today.
--compiler and --flags are those of the tests; gtest, gtest_main and rapidcheck must be where the
compiler finds them, or --flags says where.
"""

import argparse
import concurrent.futures
import datetime
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIBRARIES = ("-lgtest_main", "-lgtest", "-lrapidcheck", "-pthread")
OF_DEVICE = ("-lboost_context",)  # the emulation's threads


def compile_test(settings, include, test, program):
    source, *macros = test.split()
    command = [*shlex.split(settings.compiler), "-std=c++20", *shlex.split(settings.flags),
               f'-DGATESCAN_SOURCE_DIR="{ROOT}"', *(f"-D{macro}" for macro in macros),
               f"-I{include}", str(ROOT / source), "-o", str(program), *LIBRARIES,
               *(OF_DEVICE if source.startswith("tests/device/") else ())]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


def passes(program, seconds):
    # some of the random problems; threads that wait leave the core to others
    some = {**os.environ, "GATESCAN_PROBLEMS": "1500", "OMP_WAIT_POLICY": "passive"}
    try:
        done = subprocess.run([program], capture_output=True, timeout=seconds, check=False,
                              env=some)  # fmt: skip
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def clean_passes(settings, folder, test):
    program = folder / f"clean_{abs(hash(test))}"
    done = compile_test(settings, ROOT / "include", test, program)
    return done.returncode == 0 and passes(program, settings.seconds)


def verdict(settings, folder, patch, test):
    """What is wrong with the mutant, or nothing when the test noticed it."""
    copy = folder / patch.stem
    shutil.copytree(ROOT / "include", copy / "include")
    # not as part of a repository that the folder may lie in
    quiet = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    done = subprocess.run(["git", "apply", str(patch)], cwd=copy, capture_output=True, text=True,
                          check=False, env=quiet)  # fmt: skip
    if done.returncode != 0:
        return "the patch does not apply: " + done.stderr.strip()
    done = compile_test(settings, copy / "include", test, copy / "program")
    if done.returncode != 0:
        return "does not compile:\n" + done.stderr[:2000]
    return "NOT NOTICED" if passes(copy / "program", settings.seconds) else ""


def part(text):
    """`2/8`: every eighth patch, from the second on."""
    number, parts = (int(word) for word in text.split("/"))
    if not 1 <= number <= parts:
        raise ValueError(text)
    return number - 1, parts


def todays_part(text):
    """`8`: the part of this day, out of eight."""
    return datetime.date.today().toordinal() % int(text), int(text)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="mutants; default: all")
    parser.add_argument("--slice", dest="part", type=part, default=(0, 1), metavar="K/N")
    parser.add_argument("--today", dest="part", type=todays_part, metavar="N")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "c++"))
    parser.add_argument("--flags", default="-O0 -march=native -fopenmp -w -I/usr/include/eigen3")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="at a time")
    parser.add_argument("--seconds", type=float, default=300, help="the most that a test may run")
    settings = parser.parse_args()

    every = sorted(HERE.glob("*.patch"))
    first, step = settings.part
    patches = every[first::step]
    unknown = set(settings.names) - {patch.stem for patch in every}
    if unknown:
        parser.error("no such mutant: " + ", ".join(sorted(unknown)))
    if settings.names:
        patches = [patch for patch in every if patch.stem in settings.names]
    first_lines = [patch.read_text(encoding="utf-8").splitlines()[0] for patch in patches]
    mutants = [(patch, *line.split(" | ")) for patch, line in zip(patches, first_lines)]
    wrong = 0
    with (
        tempfile.TemporaryDirectory() as name,
        concurrent.futures.ThreadPoolExecutor(settings.jobs) as pool,
    ):
        folder = Path(name)
        clean = {test: pool.submit(clean_passes, settings, folder, test)
                 for test in dict.fromkeys(test for _, _, test, _ in mutants)}  # fmt: skip
        verdicts = [pool.submit(verdict, settings, folder, patch, test)
                    for patch, _, test, _ in mutants]  # fmt: skip
        for (patch, row, test, what), found in zip(mutants, verdicts):
            problem = found.result()
            if not clean[test].result():
                problem = "the test does not pass on the headers as they are"
            wrong += problem != ""
            seen = problem or "noticed by " + test.split()[0]
            print(f"{row:4} {patch.stem}: {what}: {seen}", flush=True)
    print(f"{wrong} not noticed or not usable" if wrong else "every mutant was noticed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
