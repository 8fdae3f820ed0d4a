#!/usr/bin/env python3
"""Proves that the tests notice: each patch here is a plausible bug, and one test must fail for it.

    tests/mutants/run.py                      every mutant, about ten minutes
    tests/mutants/run.py scan_order ...       these
    cmake --build build/release --target mutants

The first line of a patch is `ROW | TEST | WHAT`: the row of failure it stands for, the test program
that must notice, and the bug in words. The headers are copied, patched there, and the test program
is compiled against the copy; before that it must pass on the headers as they are. A patch that does
not apply any more, or does not compile, is an error too: make it anew against the code of today.
--compiler and --flags are those of the tests; gtest, gtest_main and rapidcheck must be where the
compiler finds them, or --flags says where.
"""

import argparse
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


def compile_test(settings, include, test, program):
    command = [*shlex.split(settings.compiler), "-std=c++20", *shlex.split(settings.flags),
               f'-DGATESCAN_SOURCE_DIR="{ROOT}"', f"-I{include}", str(ROOT / test), "-o",
               str(program), *LIBRARIES]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=False)


def passes(program, seconds):
    try:
        done = subprocess.run([program], capture_output=True, timeout=seconds, check=False)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def clean_passes(settings, folder, test, known={}):  # pylint: disable=dangerous-default-value
    if test not in known:
        program = folder / "clean"
        done = compile_test(settings, ROOT / "include", test, program)
        known[test] = done.returncode == 0 and passes(program, settings.seconds)
    return known[test]


def verdict(settings, folder, patch, test):
    """What is wrong with the mutant, or nothing when the test noticed it."""
    if not clean_passes(settings, folder, test):
        return "the test does not pass on the headers as they are"
    copy = folder / "mutant"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT / "include", copy / "include")
    # not as part of a repository that the folder may lie in
    quiet = {**os.environ, "GIT_CEILING_DIRECTORIES": str(copy.parent)}
    done = subprocess.run(["git", "apply", str(patch)], cwd=copy, capture_output=True, text=True,
                          check=False, env=quiet)  # fmt: skip
    if done.returncode != 0:
        return "the patch does not apply: " + done.stderr.strip()
    done = compile_test(settings, copy / "include", test, folder / "program")
    if done.returncode != 0:
        return "does not compile:\n" + done.stderr[:2000]
    return "NOT NOTICED" if passes(folder / "program", settings.seconds) else ""


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="mutants; default: all")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "c++"))
    parser.add_argument("--flags", default="-O1 -march=native -fopenmp -w")
    parser.add_argument("--seconds", type=float, default=300, help="the most that a test may run")
    settings = parser.parse_args()

    patches = sorted(HERE.glob("*.patch"))
    unknown = set(settings.names) - {patch.stem for patch in patches}
    if unknown:
        parser.error("no such mutant: " + ", ".join(sorted(unknown)))
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for patch in patches:
            if settings.names and patch.stem not in settings.names:
                continue
            row, test, what = patch.read_text(encoding="utf-8").splitlines()[0].split(" | ")
            problem = verdict(settings, Path(folder), patch, test)
            wrong += problem != ""
            print(f"{row:4} {patch.stem}: {what}: {problem or 'noticed by ' + test}", flush=True)
    print(f"{wrong} not noticed or not usable" if wrong else "every mutant was noticed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
