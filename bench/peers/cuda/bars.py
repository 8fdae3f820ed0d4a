"""What a row has to reach, and whether it did: one line for each bar of the CUDA backend's issue."""

from __future__ import annotations

import re
from dataclasses import dataclass

BOTH = ("forward", "both")


@dataclass
class Bar:
    rows: str  # a regular expression
    passes: tuple[str, ...]
    kind: str  # copy: share of the copy bandwidth; peer: its time by ours; row: our time by a row's
    of: str
    least: float = 0.0
    most: float = float("inf")

    def text(self) -> str:
        what = {"copy": "of copy", "peer": f"times {self.of}", "row": f"of {self.of}"}[self.kind]
        return f"at least {self.least:g} {what}" if self.least else f"at most {self.most:g} {what}"


GLA, SCAN = "gla, B 1, L 8192", "selective scan"
BARS = [
    Bar(r"^elementwise, B 8.*(float|complex64)$", BOTH, "copy", "", 0.85),
    # "several times": three
    Bar(r"^elementwise, B 8.*float$", BOTH, "peer", "accelerated-scan", 3),
    Bar(r"^elementwise, B 8.*complex64$", BOTH, "peer", "accelerated-scan", 3),
    Bar(r"^elementwise, B 16", BOTH, "peer", "flash-linear-attention, chunk_hgrn", 5),
    Bar(rf"^{SCAN}", ("forward",), "peer", "mamba-ssm", 1),
    Bar(rf"^{SCAN}", ("both",), "peer", "mamba-ssm", 1.5),
    Bar(rf"^{GLA}", BOTH, "peer", "flash-linear-attention, chunk_gla", 1),
    Bar(r"^gla, a gate a head", BOTH, "peer", "flash-linear-attention, chunk_simple_gla", 1),
    Bar(r"^gla, a gate a head", BOTH, "peer", "mamba-ssm, mamba_chunk_scan_combined", 1),
    Bar(r"^gateloop", BOTH, "row", GLA, most=2.2),
    Bar(r"^step of gla", ("step",), "copy", "", 0.85),
]  # fmt: skip


def value(bar: Bar, row: dict, which: str, ours: dict, peers: list[dict]) -> float | None:
    """What the bar measures, None where it was not measured. Of several forms of a peer the fastest
    counts."""
    own = row["passes"].get(which)
    if own is None:
        return None
    if bar.kind == "copy":
        return 1e-6 * own["bytes"] / own["median_ms"] / ours["limits"]["copy_gb_s"]
    if bar.kind == "row":
        others = [r for r in ours["rows"] if r["name"].startswith(bar.of) and which in r["passes"]]
        return own["median_ms"] / others[0]["passes"][which]["median_ms"] if others else None
    times = [p["passes"][which]["median_ms"] for p in peers
             if p["row"] == row["name"] and p["form"].startswith(bar.of) and "passes" in p]  # fmt: skip
    return min(times) / own["median_ms"] if times else None


def judged(ours: dict, peers: list[dict]) -> list[tuple[str, str, str, float | None, str]]:
    """(row, pass, bar, value, met | missed | not measured) of every bar."""
    lines = []
    for bar in BARS:
        rows = [r for r in ours["rows"] if re.search(bar.rows, r["name"])]
        if not rows:
            lines.append((bar.rows, ", ".join(bar.passes), bar.text(), None, "not measured"))
        for row in rows:
            for which in bar.passes:
                x = value(bar, row, which, ours, peers)
                met = x is not None and bar.least <= x <= bar.most
                verdict = "not measured" if x is None else "met" if met else "missed"
                lines.append((row["name"], which, bar.text(), x, verdict))
    return lines
