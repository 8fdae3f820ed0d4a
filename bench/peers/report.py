"""The table and the picture of what compare.py measured."""

from __future__ import annotations

import json
from pathlib import Path

COLOURS = {"torch": "#d95f02", "jax": "#1b9e77", "ggml": "#7570b3",
           "onnxruntime": "#e7298a"}


def cell(entry: dict | None) -> str:
    if entry is None:
        return "-"
    if not entry["ms"]:
        tried = entry["tried"].values()
        return entry.get("error") or ("wrong, not timed" if tried else "no such operator")
    text = f"{entry['median']:.3g} ({entry['min']:.3g} to {entry['max']:.3g})"
    if entry["by"] != "gatescan" and "ratio" in entry:
        text = f"**{entry['ratio']:.1f}x** {text}"
    return f"{text}, {entry['best']}"


def grouped(result: dict) -> dict[int, dict[str, dict[str, dict]]]:
    """Threads, row, who."""
    groups: dict = {}
    for e in result["entries"]:
        groups.setdefault(e["threads"], {}).setdefault(e["row"], {})[e["by"]] = e
    return groups


def markdown(result: dict) -> str:
    lines = ["# gatescan and its peers", "",
             f"{result['date']}, {result['cpu']}; float32; ms: median of {result['rounds']} rounds "
             f"and their range; load before the run {result['load_before']:.1f}. "
             "**Bold**: time divided by gatescan's."]
    if result["quick"]:
        lines += ["", "A quick run on tiny shapes: it shows that results are right, not how fast "
                      "anybody is."]
    lines += [""]
    lines += [f"- {name}: {'; '.join(f'{k} {v}' for k, v in versions.items())}"
              for name, versions in result["versions"].items()]
    lines += [f"- {name}: not installed ({why})" for name, why in result["missing"].items()]
    for threads, rows in grouped(result).items():
        names = list(dict.fromkeys(name for row in rows.values() for name in row))
        lines += ["", f"## {threads} thread{'s' * (threads > 1)}", "",
                  "| row | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
        lines += [f"| {name} | " + " | ".join(cell(row.get(n)) for n in names) + " |"
                  for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def picture(result: dict, path: Path) -> None:
    """Ratios to gatescan on a logarithmic axis, one panel for each number of threads."""
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "peers"  # the same numbers, the same file
    import matplotlib.pyplot as plt
    from matplotlib.ticker import LogLocator, NullFormatter

    groups = grouped(result)
    height = 1.2 + 0.42 * max(len(rows) for rows in groups.values())
    figure, axes = plt.subplots(1, len(groups), figsize=(5 + 3.5 * len(groups), height),
                                sharey=True, sharex=True, squeeze=False, layout="constrained")
    for axis, (threads, rows) in zip(axes[0], groups.items()):
        for y, row in enumerate(rows.values()):
            for name, e in row.items():
                if name == "gatescan" or "ratio" not in e:
                    continue
                own = e["median"] / e["ratio"]
                axis.plot([e["min"] / own, e["max"] / own], [y, y], color=COLOURS[name], lw=2)
                axis.plot(e["ratio"], y, "o", color=COLOURS[name], ms=7)
        axis.axvline(1, color="black", lw=1)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.grid(axis="x", which="both", alpha=0.25)
        axis.set_yticks(range(len(rows)), rows)
        axis.set_title(f"{threads} thread{'s' * (threads > 1)}")
        axis.set_xlabel("time divided by gatescan's")
    axes[0][0].invert_yaxis()
    quick = " - tiny shapes, not a measurement" * result["quick"]
    figure.suptitle(f"{result['cpu']}, {result['date']}{quick}", fontsize=9)
    shown = {e["by"] for e in result["entries"] if e["by"] in COLOURS and e["ms"]}
    handles = [plt.Line2D([], [], marker="o", lw=2, color=c, label=name)
               for name, c in COLOURS.items() if name in shown]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=len(handles))
    figure.savefig(path, metadata={"Date": None})


def write(result: dict, out: Path) -> str:
    """out.json, out.md and, where matplotlib is, out.svg. Returns the table."""
    text = markdown(result)
    out.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{out}.json").write_text(json.dumps(result, indent=1) + "\n")
    Path(f"{out}.md").write_text(text)
    try:
        picture(result, Path(f"{out}.svg"))
    except ImportError:
        text += "\nNo picture: matplotlib is not installed.\n"
    return text
