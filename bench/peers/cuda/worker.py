#!/usr/bin/env python3
"""One peer's forms on the rows of gatescan_bench_cuda, in a process of its own, since a kernel that
fails takes its process along: worker.py PACKAGE OURS.json SECONDS. A JSON object a line.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import math
import os
import statistics
import sys
from pathlib import Path

import recipes
from forms import FORMS

DISTRIBUTIONS = {"fla": ("flash-linear-attention", "fla-core"), "mamba_ssm": ("mamba-ssm",),
                 "accelerated_scan": ("accelerated-scan",)}  # fmt: skip
# Relative root mean square over the numbers that gatescan shows: both sides round.
TOLERANCES = {"F32": 2e-3, "BF16": 3e-2}


def operands(row: dict, which: int, device) -> dict:
    """The operands and the gradient of out of a set, by name; complex where both planes are there."""
    import torch

    dtype = {"F32": torch.float32, "BF16": torch.bfloat16}[row["format"]]
    made = {}
    for recipe in row["operands"]:
        of_set = recipe | {"seed": recipe["seed"] + 100 * which}
        made[recipe["name"]] = recipes.tensor(of_set, dtype, device)
    for name in [n for n in made if n + "_im" in made]:
        made[name] = torch.complex(made[name], made.pop(name + "_im"))
    return made


def planes(name: str, x) -> dict:
    return {name: x.real, name + "_im": x.imag} if x.is_complex() else {name: x}


def disagreement(results: dict, row: dict) -> dict[str, float]:
    """Of each result that gatescan shows too: the relative root mean square of the difference."""
    import torch

    errors = {}
    for name, x in results.items():
        for plane, values in planes(name, x).items():
            want = row["samples"].get(plane)
            if want is None:
                continue
            # flat places of a dense [B, L, ...]
            at = torch.tensor(want["places"], device=values.device)
            places = torch.unravel_index(at, values.shape)
            got = values[places].double().cpu().tolist()
            error = sum((g - w) ** 2 for g, w in zip(got, want["values"]))
            size = sum(w**2 for w in want["values"])
            errors[plane] = math.sqrt(error / max(size, 1e-300))
    return errors


def prepared(form, row: dict, which: int, device):
    """(operands, leaves, gradient of out) in the form's layout."""
    x = operands(row, which, device)
    d_out = x.pop("gradient of out")
    form.like = d_out
    leaves = {name: y.detach().requires_grad_() for name, y in form.prepare(x).items()}
    return x, leaves, form.out_gradient(d_out)


def forward_and_backward(form, leaves: dict, d_out) -> tuple:
    import torch

    out = form.out(leaves)
    d = torch.autograd.grad(out, list(leaves.values()), d_out, allow_unused=True)
    return out, {name: g for name, g in zip(leaves, d) if g is not None}


def check(form, row: dict, device) -> tuple[dict, str]:
    """Errors by result, and what is wrong."""
    x, leaves, d_out = prepared(form, row, 0, device)
    out, d = forward_and_backward(form, leaves, d_out)
    results = {"out": form.shown(out.detach())}
    results |= {"d_" + name: g for name, g in form.gradients(x, leaves, d).items()}
    errors = disagreement(results, row)
    allowed = TOLERANCES[row["format"]]
    wrong = [f"{name} is off by {e:.1e}" for name, e in errors.items() if not e <= allowed]
    if "out" not in errors or len(errors) < 2:
        wrong.append("there is nothing to compare with")
    return errors, "; ".join(wrong)


def time_calls(call, sets: int, seconds: float) -> dict[str, float]:
    import torch

    taken = []
    for i in range(1003):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call(i % sets)
        stop.record()
        stop.synchronize()
        if i >= 3:  # warm-up: the first calls compile and tune
            taken.append(start.elapsed_time(stop))
        if len(taken) >= 5 and sum(taken) > 1e3 * seconds:
            break
    return {"median_ms": statistics.median(taken), "least_ms": min(taken), "most_ms": max(taken)}


def time_form(form, row: dict, seconds: float, device) -> dict:
    import torch

    sets = [prepared(form, row, i, device)[1:] for i in range(row["sets"])]

    def forward(i):
        with torch.no_grad():
            form.out(sets[i][0])

    passes = {"forward": time_calls(forward, len(sets), seconds)}
    both = lambda i: forward_and_backward(form, *sets[i])
    return passes | {"both": time_calls(both, len(sets), seconds)}


def versions(package: str) -> dict[str, str]:
    found = {}
    for name in (*DISTRIBUTIONS[package], "torch", "triton"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found


def torch_limits(device) -> dict[str, float]:
    """The matrix rate that the peers' libraries reach."""
    import torch

    n = 8192
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    ms = time_calls(lambda _: torch.matmul(a, b), 1, 0.3)["median_ms"]
    return {"torch_bf16_tflop_s": 2e-9 * n**3 / ms}


def main() -> int:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(**x) -> None:
        print(json.dumps(x), file=answers, flush=True)

    package, path, seconds = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    try:
        import torch

        importlib.import_module(package)
    except Exception as error:  # a package may fail to load in any way
        answer(missing=f"{type(error).__name__}: {error}"[:300])
        return 0
    if not torch.cuda.is_available():
        answer(missing="no device: skipped")
        return 0
    device = torch.device("cuda")
    answer(versions=versions(package), limits=torch_limits(device))
    for row in json.loads(path.read_text())["rows"]:
        for kind in FORMS if not row["failure"] else ():
            if kind.package != package or not kind.fits(row):
                continue
            entry = {"row": row["name"], "form": kind.name, "says": kind.says}
            answer(begins=entry)
            try:
                form = kind()
                entry["errors"], wrong = check(form, row, device)
                torch.cuda.empty_cache()
                if wrong:
                    entry["wrong"] = wrong
                else:
                    entry["passes"] = time_form(form, row, seconds, device)
            except Exception as error:
                entry["wrong"] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
            torch.cuda.empty_cache()
            answer(entry=entry)
    return 0


if __name__ == "__main__":
    sys.exit(main())
