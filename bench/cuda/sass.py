#!/usr/bin/env python3
"""What the compiler made of the kernels: registers, blocks a multiprocessor, and their loops.

    sass.py NVCC SOURCE.cu ...                  compiles for sm_90 and prints a table
    sass.py NVCC SOURCE.cu ... --write FILE     keeps the numbers
    sass.py NVCC SOURCE.cu ... --check FILE     exit code 1 if a rule is broken, or if instructions
                                                in loops grew by more than 5 % over FILE
    sass.py --self-test                         each rule finds its error in written code

Needs cuobjdump (of the CUDA toolkit; PyPI has it too, nvidia-cuda-cuobjdump): exit code 77 where it
is missing. The rules: no local memory; no call (a division of 64 bits, a slow path) in an innermost
loop, but for the search of a packed sequence, once a block, and for the slow path of a division of
small floats.

Columns: registers; warps that a multiprocessor has registers for; bytes of local memory;
instructions of the kernel, and of its innermost loops; calls in those; loads from device memory
(ldg), how many of them are under way at most when one is waited for, and how many on average.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

ARCH = "sm_90"
REGISTERS = 65536  # of a multiprocessor of sm_90, and most threads of one
THREADS = 2048
GROWTH = 1.05
CALLS = 3  # time_split's search for the sequence of a slot, and slow paths of divisions of floats

# Kernels that may have local memory: a pattern of the name, and why.
ALLOWED = [
    (r"gateloop|elementwise.*true", "sin and cos reduce large angles in local memory"),
    (r"chunk_keys_adjoint",
     "a few bytes, for a third block a multiprocessor"),
]

LINE = re.compile(r"^\s+/\*([0-9a-f]{4,})\*/\s+(@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*);")
REGISTER = re.compile(r"\bR(\d+)\b")
TARGET = re.compile(r"0x([0-9a-f]+)")


@dataclass
class Instruction:
    at: int
    name: str
    operands: str
    guarded: bool = False  # runs where a predicate says so

    @property
    def family(self) -> str:
        return self.name.split(".")[0]

    def reads(self) -> set[int]:
        """Registers that it waits for; the first operand of most is what it writes."""
        first, _, rest = self.operands.partition(",")
        text = self.operands if self.family in {"STG", "STS", "STL", "ST", "BRA"} else rest
        return {int(n) for n in REGISTER.findall(text)}

    def loaded(self) -> set[int]:
        first = REGISTER.search(self.operands)
        width = 4 if ".128" in self.name else 2 if ".64" in self.name else 1
        return set(range(int(first.group(1)), int(first.group(1)) + width)) if first else set()


@dataclass
class Kernel:
    name: str
    registers: int = 0
    local: int = 0
    body: list[Instruction] = field(default_factory=list)

    def loops(self) -> list[list[Instruction]]:
        """The innermost loops: from the target of a jump back to the jump, none within."""
        ends: dict[int, int] = {}  # a loop may jump back from several places
        for i in self.body:
            target = TARGET.search(i.operands) if i.family == "BRA" else None
            if target and (begin := int(target.group(1), 16)) < i.at:
                ends[begin] = max(i.at, ends.get(begin, 0))
        inner, last = [], -1
        for a, b in sorted(ends.items(), key=lambda loop: loop[1]):
            if a > last:  # else another one ends inside
                inner.append((a, b))
                last = b
        return [[i for i in self.body if a <= i.at <= b] for a, b in inner]

    def waits(self) -> list[int]:
        """Loads from device memory that are under way whenever one of them is waited for."""
        result, loads, waited = [], 0, set()
        for i in self.body:
            if loads and i.reads() & waited:
                result.append(loads)
                loads, waited = 0, set()
            if i.family == "LDG":
                loads += 1
                waited |= i.loaded()
        return result + [loads] * bool(loads)


def parse(sass: str, usage: str) -> list[Kernel]:
    kernels: dict[str, Kernel] = {}
    current = None
    for line in sass.splitlines():
        if "Function :" in line:
            current = kernels.setdefault(name := line.split(":", 1)[1].strip(), Kernel(name))
        elif current is not None and (match := LINE.match(line)):
            current.body.append(Instruction(int(match.group(1), 16), match.group(3),
                                            match.group(4), match.group(2) is not None))
    for name, text in re.findall(r"Function (\S+):\n(.*)", usage):
        if name in kernels:
            kernels[name].registers = int(re.search(r"REG:(\d+)", text).group(1))
            kernels[name].local = int(re.search(r"LOCAL:(\d+)", text).group(1)) + int(
                re.search(r"STACK:(\d+)", text).group(1))
    return list(kernels.values())


def demangled(names: list[str]) -> dict[str, str]:
    tool = shutil.which("c++filt")
    if not tool:
        return dict(zip(names, names))
    text = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True,
                          check=True).stdout.splitlines()
    return dict(zip(names, text))


def short(name: str) -> str:
    """chunk_scan<gla, bf16, false> of run_blocks<...>(...)."""
    match = re.search(r"run_blocks<(.*)>\(", name) or re.search(
        r"run_bounded_blocks<(.*), \d+>\(", name)
    name = match.group(1) if match else name
    name = re.sub(r"gatescan::|v\d+_\d+_\d+\w*::|detail::|gpu::|matrix::|diagonal::", "", name)
    return name.replace("device<bf16>", "bf16").replace("device<float>", "float").strip()


def numbers(kernels: list[Kernel]) -> dict[str, dict]:
    names = demangled([k.name for k in kernels])
    table = {}
    for k in kernels:
        inner = [i for loop in k.loops() for i in loop]
        count = Counter(i.family for i in k.body)
        waits = k.waits()
        granted = -(-k.registers * 32 // 256) * 256  # registers are given out so
        table[short(names[k.name])] = {
            "registers": k.registers,
            "warps": min(THREADS // 32, REGISTERS // granted if granted else THREADS),
            "local": k.local,
            "instructions": len(k.body),
            "in_loops": len(inner),
            "calls": sum(i.family == "CALL" for i in inner),
            "mma": count["HMMA"] + count["DMMA"],
            "fma": count["FFMA"] + count["DFMA"],
            "mufu": count["MUFU"],
            "shfl": count["SHFL"],
            "ldg": count["LDG"],
            "in_flight": max(waits, default=0),
            "a_wait": round(sum(waits) / len(waits), 1) if waits else 0,
        }
    return dict(sorted(table.items()))


def broken(table: dict[str, dict], before: dict[str, dict]) -> list[str]:
    wrong = []
    for name, n in table.items():
        if n["local"] and not any(re.search(pattern, name) for pattern, _ in ALLOWED):
            wrong.append(f"{name}: {n['local']} bytes of local memory")
        if n["calls"] > CALLS:
            wrong.append(f"{name}: {n['calls']} calls in its innermost loops")
        was = before.get(name)
        if was and n["in_loops"] > GROWTH * was["in_loops"] + 4:
            wrong.append(f"{name}: {n['in_loops']} instructions in its innermost loops, "
                         f"{was['in_loops']} before")
    return wrong


def compiled(nvcc: list[str], source: str, folder: Path) -> list[Kernel]:
    cubin = folder / (Path(source).stem + ".cubin")
    subprocess.run([*nvcc, f"-arch={ARCH}", "-cubin", source, "-o", str(cubin)], check=True)

    def dump(what):
        return subprocess.run(["cuobjdump", what, str(cubin)], capture_output=True, text=True,
                              check=True).stdout
    return parse(dump("-sass"), dump("-res-usage"))


def show(table: dict[str, dict]) -> None:
    columns = list(next(iter(table.values())))
    print("| kernel | " + " | ".join(c.replace("_", " ") for c in columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for name, n in table.items():
        print(f"| `{name}` | " + " | ".join(str(n[c]) for c in columns) + " |")


def self_test() -> int:
    def code(*lines):
        text = "\t\tFunction : f\n"
        for number, line in enumerate(lines):
            text += f"        /*{16 * number:04x}*/                   {line} ;\n"
        return text

    usage = "Function f:\n  REG:40 STACK:0 SHARED:0 LOCAL:{}\n"
    loads = ["LDG.E R2, [R8.64]", "LDG.E R3, [R10.64]"]
    quick = code(*loads, "FFMA R4, R2, R3, R4", "@P0 BRA 0x0", "EXIT")
    slow = code(loads[0], "STS [R9], R2", loads[1], "STS [R9], R3", "@P0 BRA 0x0", "EXIT")
    calls = code(*["CALL.REL.NOINC 0x100"] * 4, "@P0 BRA 0x0")
    outside = code("CALL.REL.NOINC 0x100", "FADD R1, R1, R2", "@P0 BRA 0x10")
    results = [numbers(parse(text, usage.format(0)))["f"] for text in (quick, slow, calls, outside)]
    right = [results[0]["in_flight"] == 2, results[0]["in_loops"] == 4, results[0]["fma"] == 1,
             results[1]["in_flight"] == 1, results[2]["calls"] == 4, results[3]["calls"] == 0,
             results[0]["registers"] == 40, results[0]["warps"] == 51]
    table = {"f": results[0]}
    right += [not broken(table, {}), not broken(table, table),
              bool(broken({"f": {**results[0], "in_loops": 40}}, table)),
              bool(broken({"f": results[2]}, {})),
              bool(broken(numbers(parse(quick, usage.format(16))), {}))]
    print("self test: " + ("right" if all(right) else f"wrong: {right}"))
    return 0 if all(right) else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("nvcc", nargs="?", help="the compiler and its options, in one word")
    parser.add_argument("sources", nargs="*")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--check", type=Path)
    parser.add_argument("--self-test", action="store_true")
    settings = parser.parse_args()
    if settings.self_test:
        return self_test()
    if not settings.sources:
        parser.error("nvcc and a source")
    if not shutil.which("cuobjdump"):
        print("skipped: no cuobjdump")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        kernels = [k for source in settings.sources
                   for k in compiled(settings.nvcc.split(), source, Path(folder))]
    table = numbers(kernels)
    show(table)
    if settings.write:
        settings.write.write_text(json.dumps(table, indent=1) + "\n")
    before = json.loads(settings.check.read_text()) if settings.check else {}
    wrong = broken(table, before)
    print("\n".join(wrong) or "no rule is broken")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
