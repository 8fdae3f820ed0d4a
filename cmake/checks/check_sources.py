#!/usr/bin/env python3
"""Checks the rules of the house that a script can check; prints file:line: rule: what.

    check_sources.py ROOT           check the tree; exit code 1 if anything is found
    check_sources.py --self-test    prove on cmake/checks/samples that each rule finds its error

A line of a sample that breaks a rule ends in `// breaks: RULE`.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

# Include direction. Layer -> layers whose headers it may include (its own always included).
ARROWS = {
    "core": set(),
    "recurrences": {"core"},
    "modes": {"core"},
    "backends/cpu": {"core", "modes"},
    "backends/cuda": {"core", "modes"},
    "api": {"core", "modes", "backends/cpu", "backends/cuda"},
    "adapt": {"core"},
    "testing": {"core", "modes", "api"},
    "distributed": {"core", "modes", "api", "backends/cpu", "backends/cuda"},
    "umbrella": None,  # None: everything
}
ANYBODY_MAY_INCLUDE = {"version.hpp"}

# Third-party fences. Include prefix -> layers that may use it.
FENCES = {
    "Eigen/": {"adapt"},
    "cub/": {"backends/cuda"},
    "thrust/": {"backends/cuda"},
    "cuda": {"backends/cuda"},
    "mpi.h": {"distributed"},
    "gtest/": set(),
    "benchmark/": set(),
    "rapidcheck": set(),
    "nlohmann/": set(),
    "CLI/": set(),
    "iostream": set(),  # its static initialiser would land in every program
}

FORBIDDEN = re.compile(
    r"\b(?P<name>(?:f|v|s|vf|vs|sn|vsn)?printf|puts|putchar|cout|cerr|clog|abort|_Exit|quick_exit|"
    r"terminate|exit)\b"
)
USING_NAMESPACE = re.compile(r"\busing\s+namespace\b")
DEFINE = re.compile(r"^\s*#\s*define\s+(\w+)")
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]')

# Names of the implementation: __x, _X. The compiler's own ones may be used, not made.
RESERVED = re.compile(r"(?<![\w.])(?:_[A-Z]\w*|\w*__\w*)")
COMPILERS_OWN = re.compile(
    r"__\w+__|__CUDA_ARCH_FEAT_\w+|__(builtin|has|cpp|cplusplus|shfl|ldg|sync|cvta|nv|half|cuda)\w*|__restrict|__forceinline|"
    r"__m(64|128|256|512)(i|d|h|bh)?|__mmask\d+|__(u?int|float)\d+(_t)?|__fp16|__bf16|__STDC\w*|"
    r"_mm\w*|_MM_\w+|_kortest\w*|_OPENMP|_MSC_VER|_MSVC_LANG|_M_\w+|_WIN32|_WIN64|_Pragma|_Float16|"
    r"__ARM_\w+|_CMP_\w+|__popc\w*|__ff[sl]\w*|__expf|__logf|__fdividef|__brev\w*|__activemask"
)

# exp(x) * exp(y) is Inf * 0 where exp(x + y) is a number.
EXP = re.compile(r"(?:\b\w+::)*\bexp\s*\(")

WARN_LINES, FAIL_LINES, COLUMNS = 400, 800, 100
RECURRENCE_LINES = 60  # of code: without comments, includes and namespaces
FRAME = re.compile(r"\s*#|\s*(inline )?namespace |\}\s*$")
HEADER_ENDINGS = {".hpp", ".cuh"}
SOURCE_ENDINGS = HEADER_ENDINGS | {".cpp", ".cu"}


def code_only(text):
    """The text with comments and the insides of literals blanked, line breaks kept."""
    token = re.compile(
        r"""//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|"""
        r"""(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'""",
        re.S,
    )

    def blank(match):
        found = match.group(0)
        if found.startswith(("/", "R")):
            return re.sub(r"[^\n]", " ", found)
        return found[0] + " " * (len(found) - 2) + found[-1]

    # Include lines keep their names: these are not literals.
    lines = text.split("\n")
    kept = {i: line for i, line in enumerate(lines) if INCLUDE.match(line)}
    blanked = token.sub(blank, text).split("\n")
    return [kept.get(i, line) for i, line in enumerate(blanked)]


def layer_of(inside):
    """The layer of a header, given its path inside include/gatescan."""
    parts = inside.parts
    if len(parts) == 1:
        return "umbrella"
    if parts[0] == "backends" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def check_includes(inside, number, line, say):
    match = INCLUDE.match(line)
    if not match:
        return
    target = match.group(1)
    layer = layer_of(inside)
    for prefix, layers in FENCES.items():
        if target.startswith(prefix) and layer not in layers:
            say(number, "fence", f"<{target}> may not be included here")
    if target.startswith("gatescan/"):
        aim = Path(target[len("gatescan/") :])
    elif '"' in line:
        aim = Path(os.path.normpath(inside.parent / target))
    else:
        return
    allowed = ARROWS[layer]
    if allowed is None or str(aim) in ANYBODY_MAY_INCLUDE:
        return
    aimed = layer_of(aim)
    if aimed == "..":
        say(number, "direction", f'"{target}" leaves the library')
    elif aimed != layer and aimed not in allowed:
        reach = ", ".join(sorted(allowed | {layer}))
        say(number, "direction", f"{layer} may not include {aimed} (allowed: {reach})")


def after_factor(text, at):
    """The place after the factor that starts at `at`: a name with its arguments, or a parenthesis."""
    depth = 0
    while at < len(text):
        if text[at] in ")]," and depth == 0 or text[at] in ";{}":
            break
        if text[at] in "*+-/<>=?:&|" and depth == 0:
            pair = text[at : at + 2]
            if pair not in ("::", "->"):
                break
            at += 1
        depth += (text[at] in "([") - (text[at] in ")]")
        at += 1
    return at


def check_products(lines, say):
    text = "\n".join(lines)
    for match in EXP.finditer(text):
        at = after_factor(text, match.start())
        while text[at : at + 1] == "*":
            start = re.compile(r"[\s(+-]*").match(text, at + 1).end()
            if EXP.match(text, start):
                say(text.count("\n", 0, start) + 1, "exp", "a product of two exp: add the exponents")
            at = after_factor(text, start)


def check_recurrence(lines, say):
    code = [number for number, line in enumerate(lines, 1) if line.strip() and not FRAME.match(line)]
    if len(code) > RECURRENCE_LINES:
        say(code[RECURRENCE_LINES], "recurrence",
            f"{len(code)} lines of code, the limit of a recurrence is {RECURRENCE_LINES}")


def check_header(inside, raw, say):
    if layer_of(inside) not in ARROWS:
        say(1, "direction", f"the folder {inside.parts[0]} has no row in the table of arrows")
        return
    if "#pragma once" not in raw:
        say(1, "once", "no #pragma once")
    lines = code_only(raw)
    check_products(lines, say)
    if layer_of(inside) == "recurrences":
        check_recurrence(lines, say)
    for number, line in enumerate(lines, 1):
        check_includes(inside, number, line, say)
        if INCLUDE.match(line):
            continue
        match = FORBIDDEN.search(line)
        if match:
            say(number, "forbidden", f"{match.group('name')}: the library never prints and never exits")
        if USING_NAMESPACE.search(line):
            say(number, "using", "using namespace in a header")
        match = DEFINE.match(line)
        if match and not match.group(1).startswith("GATESCAN_"):
            say(number, "macro", f"{match.group(1)}: a macro starts with GATESCAN_")
        for name in RESERVED.findall(line) if not match else []:
            if not COMPILERS_OWN.fullmatch(name):
                say(number, "reserved", f"{name} is a name of the implementation")


def check_size(raw, say, warn):
    lines = raw.splitlines()
    for number, line in enumerate(lines, 1):
        if len(line) > COLUMNS:
            say(number, "columns", f"{len(line)} columns, the limit is {COLUMNS}")
        if line != line.rstrip() or "\t" in line:
            say(number, "blanks", "a tab or a blank at the end of the line")
    if len(lines) > FAIL_LINES:
        say(FAIL_LINES + 1, "length", f"{len(lines)} lines, the limit is {FAIL_LINES}")
    elif len(lines) > WARN_LINES:
        warn(WARN_LINES + 1, "length", f"{len(lines)} lines: is this one idea?")


def check_tree(root):
    """All findings as (file, line, rule, text, is_error)."""
    findings = []
    headers = root / "include" / "gatescan"
    for top in ("include", "tests", "examples", "bench", "cmake/headers"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in SOURCE_ENDINGS:
                continue
            raw = path.read_text(encoding="utf-8")

            def say(line, rule, text, is_error=True, path=path):
                findings.append((path, line, rule, text, is_error))

            def warn(line, rule, text, say=say):
                say(line, rule, text, False)

            check_size(raw, say, warn)
            if headers in path.parents and path.suffix in HEADER_ENDINGS:
                check_header(path.relative_to(headers), raw, say)
    return findings


def self_test():
    samples = Path(__file__).resolve().parent / "samples"
    expected = set()
    for path in samples.rglob("*"):
        if path.suffix in SOURCE_ENDINGS:
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = re.search(r"// breaks: (\w+)", line)
                if match:
                    expected.add((path, number, match.group(1)))
    found = {(path, line, rule) for path, line, rule, _, _ in check_tree(samples)}
    wrong = [f"{p}:{n}: {r}: not found" for p, n, r in sorted(expected - found)]
    wrong += [f"{p}:{n}: {r}: found without cause" for p, n, r in sorted(found - expected)]

    with tempfile.TemporaryDirectory() as folder:
        header = Path(folder) / "include" / "gatescan" / "core" / "long.hpp"
        header.parent.mkdir(parents=True)
        recurrence = Path(folder) / "include" / "gatescan" / "recurrences" / "long.hpp"
        recurrence.parent.mkdir()
        for lines in (RECURRENCE_LINES, RECURRENCE_LINES + 1):
            recurrence.write_text("#pragma once\nnamespace gatescan {\n// words\n\n" + "int x;\n" * lines
                                  + "}  // namespace gatescan\n")
            found = [(line, rule) for _, line, rule, _, _ in check_tree(Path(folder))]
            if found != ([(RECURRENCE_LINES + 5, "recurrence")] if lines > RECURRENCE_LINES else []):
                wrong.append(f"a recurrence of {lines} lines is misjudged")
        recurrence.unlink()
        for lines, outcome in ((400, []), (401, [False]), (801, [True])):
            header.write_text("#pragma once\n" + "//\n" * (lines - 1))
            if [error for *_, error in check_tree(Path(folder))] != outcome:
                wrong.append(f"a header of {lines} lines is misjudged")

    rules = {rule for _, _, rule in expected}
    missing = {"direction", "fence", "forbidden", "using", "macro", "reserved", "columns", "blanks",
               "once", "exp"} - rules
    wrong += [f"no sample breaks the rule {rule}" for rule in sorted(missing)]
    print("\n".join(wrong) or f"{len(expected)} bad lines, each found")
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(arguments[0]).resolve()
    findings = check_tree(root)
    for path, line, rule, text, is_error in findings:
        note = "" if is_error else "warning: "
        print(f"{path.relative_to(root)}:{line}: {note}{rule}: {text}")
    errors = sum(is_error for *_, is_error in findings)
    print(f"{errors} errors, {len(findings) - errors} warnings")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
