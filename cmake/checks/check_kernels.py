#!/usr/bin/env python3
"""Compiles device code and reads the assembler's report: no kernel may keep in memory what was meant
for registers.

    check_kernels.py NVCC ARGUMENT...   runs nvcc with these arguments; exit code 1 if it fails, or
                                        if a kernel spills registers or has a stack that is not allowed
    check_kernels.py --self-test        proves on written reports that each rule finds its error
"""

import re
import shutil
import subprocess
import sys

# Kernels that may: a pattern of the demangled name, bytes of stack, bytes of spills, and why.
ALLOWED = [
    (r"gateloop|elementwise.*\btrue\b", 80, 0, "sin and cos reduce large angles in local memory"),
    (r"chunk_keys_adjoint<gatescan::\w+::gateloop.*(double|wide)", 120, 576,
     "48 complex doubles a thread are more than 255 registers"),
    (r"run_bounded_blocks.*chunk_keys_adjoint<", 24, 32,
     "for a third block a multiprocessor; only programs in real floats are bounded so"),
]

KERNEL = re.compile(r"Compiling entry function '(\S+)' for '(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
REGISTERS = re.compile(r"Used (\d+) registers")


def kernels(report):
    """(mangled name, architecture, stack, spilled bytes, registers) of every kernel."""
    found, name, numbers = [], None, None
    for line in report.splitlines():
        match = KERNEL.search(line)
        if match:
            name, numbers = match.groups(), None
        match = STACK.search(line)
        if match and name and numbers is None:
            numbers = [int(n) for n in match.groups()]
        match = REGISTERS.search(line)
        if match and name and numbers is not None:
            stack, stores, loads = numbers
            found.append((*name, stack, max(stores, loads), int(match.group(1))))
            name = None
    return found


def demangled(names):
    tool = shutil.which("c++filt") or shutil.which("cu++filt")
    if not tool or not names:
        return dict(zip(names, names))
    text = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True)
    return dict(zip(names, text.stdout.splitlines()))


def complaints(report):
    found = kernels(report)
    names = demangled([k[0] for k in found])
    wrong = []
    for mangled, arch, stack, spilled, registers in found:
        name = names[mangled]
        room = [(s, p) for pattern, s, p, _ in ALLOWED if re.search(pattern, name)]
        most_stack = max([s for s, _ in room], default=0)
        most_spilled = max([p for _, p in room], default=0)
        if stack > most_stack or spilled > most_spilled:
            wrong.append(f"{arch}: {stack} bytes of stack, {spilled} spilled, {registers} registers: {name}")
    return wrong, found


def self_test():
    def report(name, stack, stores):
        return (f"ptxas info    : Compiling entry function '{name}' for 'sm_80'\n"
                f"ptxas info    : Function properties for {name}\n"
                f"    {stack} bytes stack frame, {stores} bytes spill stores, 0 bytes spill loads\n"
                f"ptxas info    : Used 40 registers, used 1 barriers\n")

    for text, wrong in ((report("good", 0, 0), 0), (report("stacked", 8, 0), 1),
                        (report("spilled", 0, 4), 1), (report("a_gateloop_b", 72, 0), 0),
                        (report("good", 0, 0) + report("stacked", 8, 0), 1)):
        got, found = complaints(text)
        if len(got) != wrong or not found:
            print(f"misjudged:\n{text}")
            return 1
    print("each kernel judged right")
    return 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    run = subprocess.run([*arguments, "-Xptxas", "-v"], capture_output=True, text=True)
    report = run.stdout + run.stderr
    if run.returncode != 0:
        print(report)
        return 1
    wrong, found = complaints(report)
    print("\n".join(wrong))
    print(f"{len(found)} kernels, {len(wrong)} with registers in memory")
    return 1 if wrong or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
