#!/usr/bin/env python3
"""Checks what needs no card: recipes, bars and report on made-up times, and that a missing package,
torch or device is reported. Python 3 and its standard library only.
"""

import json
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import bars
import compare
import forms
import recipes
import report

T = {"mode": "chunked", "least_ms": 0.9, "most_ms": 1.2, "error": 1e-3, "tolerance": 1e-2}


def row(name, recurrence="gla", failure="", **passes):
    return {"name": name, "recurrence": recurrence, "format": "BF16", "failure": failure, "sets": 1,
            "size": {"time": 8, "complex": False, "scalar_gate": False}, "operands": [],
            "samples": {},
            "passes": {which: T | {"median_ms": ms, "bytes": 2e9} for which, ms in passes.items()}}


def ours(*rows):
    return {"date": "2000-01-01T00:00Z", "rows": list(rows),
            "limits": {"copy_gb_s": 4000.0, "bf16_mma_sync_tflop_s": 600.0},
            "device": {"name": "a card", "compute_capability": "9.0", "multiprocessors": 132,
                       "memory_bytes": 141e9, "l2_bytes": 60e6, "cuda_driver": 13000,
                       "cuda_runtime": 13000}}


def peer(row, form, **passes):
    return {"row": row, "form": form, "says": "bf16", "errors": {"out": 2e-3, "d_q": 4e-3},
            "passes": {which: {"median_ms": ms, "least_ms": ms, "most_ms": ms}
                       for which, ms in passes.items()}}


class Recipes(unittest.TestCase):
    def test_the_numbers_are_those_of_the_other_program(self):
        # bench/cuda/numbers.hpp asserts the same two
        self.assertEqual(recipes.even(1, 0), 6441870 * 2**-24)
        self.assertEqual(recipes.even(7, 123456789012), 5914638 * 2**-24)

    def test_tensors_are_these_numbers(self):
        try:
            import torch
        except ImportError as error:
            self.skipTest(str(error))
        recipe = {"shape": [3, 5], "seed": 7, "low": -2.0, "high": 3.0}
        got = recipes.tensor(recipe, torch.float32, "cpu", step=4)
        want = [-2 + 5 * recipes.even(7, i) for i in range(15)]
        self.assertLess((got.flatten() - torch.tensor(want)).abs().max(), 1e-6)


class Bars(unittest.TestCase):
    def verdicts(self, result, peers=()):
        return {(row, which, bar): (x, verdict)
                for row, which, bar, x, verdict in bars.judged(result, list(peers))}

    def test_a_share_of_copy(self):
        name = "step of gla, B 64"
        for ms, want in ((0.5, "met"), (1.0, "missed")):  # 4 and 2 TB/s
            got = self.verdicts(ours(row(name, step=ms)))
            x, verdict = got[name, "step", "at least 0.85 of copy"]
            self.assertAlmostEqual(x, 0.5 / ms)
            self.assertEqual(verdict, want)

    def test_a_peer_by_its_fastest_form(self):
        name = "elementwise, B 8, L 65536, D 1536, float"
        result = ours(row(name, "elementwise", forward=2.0, both=8.0))
        peers = [peer(name, "accelerated-scan, warp", forward=11.0, both=30.0),
                 peer(name, "accelerated-scan, Triton", forward=7.0, both=16.0),
                 peer("another row", "accelerated-scan, warp", forward=0.1, both=0.1)]
        got = self.verdicts(result, peers)
        self.assertEqual(got[name, "forward", "at least 3 times accelerated-scan"], (3.5, "met"))
        self.assertEqual(got[name, "both", "at least 3 times accelerated-scan"], (2.0, "missed"))

    def test_another_row_of_ours(self):
        name, gla = "gateloop, B 1", bars.GLA + ", H 96"
        got = self.verdicts(ours(row(name, forward=2.0, both=9.0), row(gla, forward=1.0, both=4.0)))
        bar = f"at most 2.2 of {bars.GLA}"
        self.assertEqual(got[name, "forward", bar], (2.0, "met"))
        self.assertEqual(got[name, "both", bar], (2.25, "missed"))

    def test_what_was_not_measured_is_not_met(self):
        name = bars.GLA + ", H 96"
        failed = ours(row(name, failure="out of memory"))
        self.assertEqual({v for _, v in self.verdicts(failed).values()}, {"not measured"})
        nothing = self.verdicts(ours(row(name, forward=1.0, both=1.0)),
                                [peer(name, "another", forward=1.0)])
        self.assertEqual({v for (r, *_), (_, v) in nothing.items() if r == name}, {"not measured"})

    def test_every_bar_has_its_text(self):
        for bar in bars.BARS:
            self.assertRegex(bar.text(), r"^at (least|most) [\d.]+ ")


class Report(unittest.TestCase):
    def test_table(self):
        name = bars.GLA + ", H 96"
        result = {"ours": ours(row(name, forward=1.0, both=4.0), row("x", failure="out of memory")),
                  "peers": [peer(name, "flash-linear-attention, chunk_gla", forward=1.5, both=3.0),
                            {"row": name, "form": "other", "says": "", "wrong": "out is off by 1"}],
                  "versions": {"fla": {"flash-linear-attention": "1.2", "torch": "9"}},
                  "limits": {"fla": {"torch_bf16_tflop_s": 777.0}},
                  "missing": {"mamba_ssm": "ImportError: no"}, "driver": "580.1"}
        text = report.markdown(result)
        for words in ("a card", "4000 GB/s", "777 TFLOP/s", "flash-linear-attention 1.2", "580.1",
                      "mamba_ssm: not measured (ImportError: no)", "FAILED: out of memory",
                      "not timed: out is off by 1", "| 1.50 | 4.0e-03 against gatescan |",
                      "| 0.75 | 4.0e-03 against gatescan |", "| 1.50 | met |", "| 0.75 | missed |"):
            self.assertIn(words, text)
        widths = {line.count(" | ") for line in text.splitlines() if line.startswith("| gla, B 1")}
        self.assertEqual(len(widths), 2)  # of the two tables


class Forms(unittest.TestCase):
    def test_what_fits(self):
        def named(**changes):
            size = {"time": 8, "complex": False, "scalar_gate": False} | changes
            recurrence = size.pop("recurrence")
            return [f.name for f in forms.FORMS if f.fits({"recurrence": recurrence, "size": size})]

        self.assertEqual(len(named(recurrence="elementwise")), 4)
        self.assertEqual(named(recurrence="elementwise", complex=True), ["accelerated-scan, complex"])
        self.assertEqual(named(recurrence="selective_scan"), ["mamba-ssm, selective_scan_fn"])
        self.assertEqual(named(recurrence="gla"), ["flash-linear-attention, chunk_gla"])
        self.assertEqual(len(named(recurrence="gla", scalar_gate=True)), 2)
        self.assertEqual(named(recurrence="gla", time=1), [])  # a step
        self.assertEqual(named(recurrence="gateloop"), [])
        self.assertEqual({f.package for f in forms.FORMS}, set(forms.PACKAGES))


class Programs(unittest.TestCase):
    def test_a_package_that_is_not_there(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "ours.json"
            path.write_text(json.dumps(ours()))
            done = subprocess.run(
                [sys.executable, compare.HERE / "compare.py", path, "--out", Path(folder) / "peers",
                 "--packages", "no_such_package"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            made = json.loads((Path(folder) / "peers.json").read_text())
            self.assertEqual(list(made["missing"]), ["no_such_package"])
            self.assertIn("no_such_package: not measured", (Path(folder) / "peers.md").read_text())

    def test_a_worker_that_dies_or_hangs(self):
        begun = {"row": "r", "form": "f", "says": ""}
        with tempfile.TemporaryDirectory() as folder:
            here, compare.HERE = compare.HERE, Path(folder)
            self.addCleanup(setattr, compare, "HERE", here)
            script = f"import json, sys, time\nprint(json.dumps({{'begins': {begun}}}), flush=True)\n"
            for rest, words in (("sys.exit(3)", "code 3"), ("time.sleep(60)", "stopped after")):
                (Path(folder) / "worker.py").write_text(script + rest)
                lines = compare.run_package("fla", Path("x"), 0.1, 5 if "exit" in rest else 1)
                self.assertEqual(lines[-1]["entry"]["row"], "r")
                self.assertIn(words, lines[-1]["entry"]["wrong"])
                self.assertEqual(compare.collect({"fla": lines}, ours())["peers"],
                                 [lines[-1]["entry"]])


if __name__ == "__main__":
    unittest.main()
