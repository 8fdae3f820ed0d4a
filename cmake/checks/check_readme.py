#!/usr/bin/env python3
"""Checks that the code in README.md is code that the tests run.

    check_readme.py ROOT           check; exit code 1 if anything is found
    check_readme.py --self-test    prove that a stale block is found

A block under `<!-- from examples/01_first_call.cpp -->` must stand in that file, line for line,
at whatever indentation.
"""

import re
import sys
import tempfile
import textwrap
from pathlib import Path

MARKER = re.compile(r"^<!-- from (\S+) -->\n+```\w*\n(.*?)^```$", re.M | re.S)


def holds(text, block):
    """Whether some run of lines of the text is the block, but for common indentation."""
    lines, wanted = text.splitlines(), block.splitlines()
    runs = (lines[i : i + len(wanted)] for i in range(len(lines) - len(wanted) + 1))
    return any(textwrap.dedent("\n".join(run)).splitlines() == wanted for run in runs)


def check(root):
    readme = (root / "README.md").read_text(encoding="utf-8")
    findings, blocks = [], 0
    for match in MARKER.finditer(readme):
        blocks += 1
        line = readme.count("\n", 0, match.start()) + 1
        source = root / match.group(1)
        if not source.is_file():
            findings.append(f"README.md:{line}: no file {match.group(1)}")
        elif not holds(source.read_text(encoding="utf-8"), match.group(2)):
            findings.append(f"README.md:{line}: this block is not in {match.group(1)}")
    if blocks != readme.count("<!-- from "):
        findings.append("README.md:1: a <!-- from FILE --> has no code block under it")
    if not blocks:
        findings.append("README.md:1: no code block is taken from an example")
    return findings, blocks


def self_test():
    block = "<!-- from a.cpp -->\n```cpp\n{}\n```\n"
    cases = {
        block.format("int a;\n  int b;"): 0,
        block.format("int a;\nint b;"): 1,
        block.format("int c;").replace("a.cpp", "b.cpp"): 1,
        "<!-- from a.cpp -->\ntext\n": 2,
        "text\n": 1,
    }
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "a.cpp").write_text("{\n  int a;\n    int b;\n}\n")
        for text, expected in cases.items():
            (root / "README.md").write_text(text)
            found = check(root)[0]
            if len(found) != expected:
                print(f"expected {expected} findings, not {found}, in\n{text}")
                wrong += 1
    print(f"{len(cases) - wrong} of {len(cases)} cases judged right")
    return 1 if wrong else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    findings, blocks = check(Path(arguments[0]))
    print("\n".join(findings) or f"{blocks} blocks, each from a file")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
