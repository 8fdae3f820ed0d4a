"""A run as Markdown: where and with what, our times beside the peers', and the bars."""

from __future__ import annotations

from bars import judged


def span(t: dict) -> str:
    return f"{t['median_ms']:.3f} ({t['least_ms']:.3f} to {t['most_ms']:.3f})"


def table(head: list[str], lines: list[list[str]]) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *lines)]


def markdown(result: dict) -> str:
    """`result`: ours (gatescan_bench_cuda's JSON), peers (entries), versions, missing."""
    ours, peers = result["ours"], result["peers"]
    card, limits = ours["device"], ours["limits"]
    text = [f"# CUDA backend beside its peers, {ours['date']}", ""]
    if ours.get("tiny"):
        text += ["Tiny shapes: not a measurement.", ""]
    text += [
        f"- card: {card['name']}, compute capability {card['compute_capability']}, "
        f"{card['multiprocessors']} multiprocessors, {card['memory_bytes'] / 1e9:.0f} GB, "
        f"L2 {card['l2_bytes'] / 1e6:.0f} MB",
        f"- CUDA: driver {card['cuda_driver']}, runtime {card['cuda_runtime']}"
        + (f"; kernel driver {result['driver']}" if result.get("driver") else ""),
        f"- limits of this run: copies {limits['copy_gb_s']:.0f} GB/s, bf16 products by mma.sync "
        f"{limits['bf16_mma_sync_tflop_s']:.0f} TFLOP/s"
        + "".join(f", torch's 8192^3 {x['torch_bf16_tflop_s']:.0f} TFLOP/s"
                  for x in list(result["limits"].values())[:1]),
    ]  # fmt: skip
    for package, found in sorted(result["versions"].items()):
        text.append(f"- {package}: " + ", ".join(f"{n} {v}" for n, v in found.items()))
    for package, why in sorted(result["missing"].items()):
        text.append(f"- {package}: not measured ({why})")
    text += ["", "Milliseconds by events: the median, and the range; operands in turn, past L2. "
             "`of copy`: the bytes that the pass needs once, by the time, by the copy bandwidth. "
             "`ratio`: the peer's time by ours, above 1 where ours is faster.", ""]  # fmt: skip

    lines = []
    for row in ours["rows"]:
        if row["failure"]:
            lines.append([row["name"], "", "gatescan", "FAILED: " + row["failure"], "", "", ""])
        for which, own in row["passes"].items():
            rate = 1e-6 * own["bytes"] / own["median_ms"] / limits["copy_gb_s"]
            lines.append([row["name"], which, f"gatescan, {own['mode']}", span(own), f"{rate:.2f}",
                          "1", f"{own['error']:.1e} against the CPU library"])  # fmt: skip
            for p in peers:
                if p["row"] != row["name"] or which not in p.get("passes", {}):
                    continue
                t = p["passes"][which]
                errors = p["errors"].values()
                lines.append(["", which, f"{p['form']} ({p['says']})", span(t), "",
                              f"{t['median_ms'] / own['median_ms']:.2f}",
                              f"{max(errors):.1e} against gatescan"])  # fmt: skip
        for p in peers:
            if p["row"] == row["name"] and p.get("wrong"):
                lines.append(["", "", p["form"], "not timed: " + p["wrong"], "", "", ""])
    text += table(["row", "pass", "by", "ms", "of copy", "ratio", "largest error"], lines)

    text += ["", "## Bars", ""]
    text += table(
        ["row", "pass", "bar", "measured", ""],
        [[row, which, bar, "" if x is None else f"{x:.2f}", verdict]
         for row, which, bar, x, verdict in judged(ours, peers)])  # fmt: skip
    return "\n".join(text) + "\n"
