#!/usr/bin/env python3
"""Time that a compiler takes to read and check (-fsyntax-only) each file here, beside its budget.

    measure.py COMPILER [OPTION...]

Processor time, the least of seven tries: a busy machine disturbs it little.
"""

import resource
import subprocess
import sys
from pathlib import Path

BUDGETS = {"core.cpp": 0.35, "one_operator.cpp": 1.0, "one_operator_with_eigen.cpp": 1.3}  # seconds
TRIES = 7


def seconds(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(compiler):
    folder = Path(__file__).resolve().parent
    print(f"{'':30}{'seconds':>8}{'budget':>8}")
    for name, budget in BUDGETS.items():
        least = min(seconds([*compiler, "-fsyntax-only", folder / name]) for _ in range(TRIES))
        verdict = "" if least <= budget else f"  {least / budget:.1f} times the budget"
        print(f"{name:30}{least:8.2f}{budget:8.2f}{verdict}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
