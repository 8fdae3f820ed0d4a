#!/usr/bin/env python3
"""Runs replay under mpirun: the file is the one that a program alone writes, and what is wrong is
said once, with exit code 2 and nothing left behind.

usage: ranks_test.py PATH_OF_REPLAY RANKS MPIRUN...    (Python 3 and its standard library only)
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import unittest

from replay_test import Tensor, case, decode, encode

REPLAY = ""
RANKS = 1
MPIRUN = ()
RECURRENCES = ()
PARAMETERS = {  # without time: gradients are sums over all ranks
    name for r in ("selective_scan", "mamba2", "rwkv6", "rg_lru", "hgrn2", "rwkv4", "retention")
    for name, t in case(r, 9).items() if "state" not in name and t.shape[:2] != [1, 9]
}


def problem(recurrence, L, dtype="F64", B=1, n=None):
    """Operands that keep states small, in a batch, or of n packed sequences."""
    generator = random.Random(f"{recurrence} {L}")
    tensors = case(recurrence, L, dtype)
    for name, t in tensors.items():
        if "state" in name:
            t.shape[0] = B if n is None else n
        elif name not in PARAMETERS or t.shape[:2] == [1, L]:
            t.shape[0] = B
        is_gate = name in ("log_decay", "log_magnitude", "A", "w") or (name, recurrence) == (
            "delta", "selective_scan")
        count = 1
        for extent in t.shape:
            count *= extent
        t.values = [generator.randrange(-128, 128) / 256 for _ in range(count)]
        if is_gate:  # some forget, some hardly
            t.values = [-abs(x) / 16 if name != "delta" else abs(x) for x in t.values]
        if name.endswith(".den") and not name.startswith("d_"):
            t.values = [1 + abs(x) for x in t.values]
    return tensors


class RanksTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.input = os.path.join(self.folder.name, "in.safetensors")
        self.output = os.path.join(self.folder.name, "out.safetensors")

    def tearDown(self):
        self.folder.cleanup()

    def run_replay(self, *arguments, over_ranks=True):
        start = [*MPIRUN, str(RANKS)] if over_ranks else []
        return subprocess.run(
            [*start, REPLAY, *arguments], capture_output=True, text=True, timeout=60
        )

    def write_input(self, tensors):
        with open(self.input, "wb") as stream:
            stream.write(tensors if isinstance(tensors, bytes) else encode(tensors))

    def results(self, recurrence, mode, *flags, over_ranks=True):
        """of the file that was written last"""
        arguments = ("--recurrence", recurrence, "--mode", mode, "--threads", "1", *flags)
        done = self.run_replay(*arguments, self.input, self.output, over_ranks=over_ranks)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(len(os.listdir(self.folder.name)), 2)
        with open(self.output, "rb") as stream:
            written = stream.read()
        os.remove(self.output)
        return written

    def assert_close(self, got, want, tolerance):
        got, want = decode(got), decode(want)
        self.assertEqual(list(got), list(want))
        for name, t in want.items():
            self.assertEqual((got[name].shape, got[name].dtype), (t.shape, t.dtype), name)
            size = max(map(abs, t.values), default=0)
            for g, w in zip(got[name].values, t.values, strict=True):
                self.assertAlmostEqual(g, w, delta=tolerance * size, msg=name)


class Results(RanksTest):
    def test_pieces_of_scan_give_its_bytes(self):
        L = 763  # cut at the same tokens by 1 to 4 segments, the last of them shorter
        for recurrence in RECURRENCES:
            with self.subTest(recurrence=recurrence):
                self.write_input(problem(recurrence, L, "F32", B=2))
                alone = ("--segments", str(RANKS))
                got = self.results(recurrence, "scan", "--grad")
                want = self.results(recurrence, "scan", "--grad", *alone, over_ranks=False)
                self.assert_close(got, want, 1e-5)
                if recurrence == "rwkv4":  # no summary of gradients
                    continue
                got, want = decode(got), decode(want)
                for name in set(want) - {"d_" + p for p in PARAMETERS if recurrence in (
                        "retention", "rg_lru", "hgrn2", "rwkv6", "mamba2", "selective_scan")}:
                    self.assertEqual(got[name], want[name], name)

    def test_fewer_tokens_than_ranks_have_room_for(self):
        for recurrence, L in (
            ("gla", 0), ("elementwise", 0), ("gla", 1), ("mlstm", 2), ("selective_scan", 3),
            ("rwkv4", 3), ("elementwise", 17), ("gla", 50),
        ):
            with self.subTest(recurrence=recurrence, L=L):
                self.write_input(problem(recurrence, L, B=2))
                self.assert_close(
                    self.results(recurrence, "scan", "--grad"),
                    self.results(recurrence, "recurrent", "--grad", over_ranks=False),
                    1e-11,
                )

    def test_packed_sequences(self):
        offsets = [0, 0, 7, 31, 31, 32, 48, 48, 83, 83]
        for recurrence in RECURRENCES:
            with self.subTest(recurrence=recurrence):
                n = len(offsets) - 1
                tensors = problem(recurrence, offsets[-1], n=n)
                tensors["sequence_offsets"] = Tensor((n + 1,), offsets, "I64")
                self.write_input(tensors)
                self.assert_close(
                    self.results(recurrence, "scan", "--grad"),
                    self.results(recurrence, "recurrent", "--grad", over_ranks=False),
                    1e-11,
                )

    def test_packed_sequences_of_no_or_few_tokens(self):
        for offsets in ([0], [0, 0, 0], [0, 1, 1], [0, 0, 1, 2, 3, 3]):
            with self.subTest(offsets=offsets):
                n = len(offsets) - 1
                tensors = problem("gla", offsets[-1], n=n)
                tensors["sequence_offsets"] = Tensor((n + 1,), offsets, "I64")
                self.write_input(tensors)
                self.assert_close(
                    self.results("gla", "scan", "--grad"),
                    self.results("gla", "recurrent", "--grad", over_ranks=False),
                    1e-11,
                )

    def test_formats(self):
        for dtype, flags in (("F16", []), ("BF16", []), ("BF16", ["--wide"]), ("F32", ["--wide"])):
            with self.subTest(dtype=dtype, flags=flags):
                tensors = problem("gla", 763, dtype)
                for t in tensors.values():
                    t.values = [round(x * 32) / 32 for x in t.values]  # BF16 has them
                self.write_input(tensors)
                self.assertEqual(
                    self.results("gla", "scan", "--grad", *flags),
                    self.results("gla", "scan", "--grad", "--segments", str(RANKS), *flags,
                                 over_ranks=False),
                )

    def test_forward_alone_has_the_bytes_of_scan(self):
        for recurrence in ("gla", "elementwise", "selective_scan"):
            self.write_input(problem(recurrence, 763, "F32"))
            self.assertEqual(
                self.results(recurrence, "scan"),
                self.results(recurrence, "scan", "--segments", str(RANKS), over_ranks=False),
            )

    def test_segments_of_ranks(self):
        self.write_input(problem("gla", 768, "F32"))
        self.assertEqual(
            self.results("gla", "scan", "--segments", "2"),
            self.results("gla", "scan", "--segments", str(2 * RANKS), over_ranks=False),
        )

    def test_an_older_output_is_replaced(self):
        with open(self.output, "wb") as stream:
            stream.write(b"older")
        self.write_input(problem("gla", 40))
        self.results("gla", "scan")

    def test_help_comes_once(self):
        done = self.run_replay("--help")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout.count("--recurrence"), 1)


class Refusals(RanksTest):
    def setUp(self):
        super().setUp()
        if RANKS not in (2, 3):
            self.skipTest("2 and 3 ranks are refused what others are")

    def refuse(self, tensors, *words, flags=(), recurrence="gla", mode="scan"):
        self.write_input(tensors)
        with open(self.output, "wb") as stream:
            stream.write(b"older")
        self.assert_refused(words, "--recurrence", recurrence, "--mode", mode, *flags, self.input,
                            self.output)
        with open(self.output, "rb") as stream:
            self.assertEqual(stream.read(), b"older")
        self.assertEqual(len(os.listdir(self.folder.name)), 2)

    def assert_refused(self, words, *arguments):
        done = self.run_replay(*arguments)
        self.assertEqual(done.returncode, 2)
        said = re.findall(r"^replay: .*$", done.stderr, re.M)
        self.assertEqual(len(said), 1, done.stderr)
        for word in words:
            self.assertIn(word, said[0])

    def test_files(self):
        good = problem("gla", 40)
        whole = encode(good)
        self.refuse(whole[:100], "in.safetensors", "truncated")
        self.refuse(whole[:-1], "in.safetensors")
        self.refuse(b"", "truncated")
        self.refuse({**good, "extra": good["q"]}, "extra")
        self.refuse({name: t for name, t in good.items() if name != "k"}, '"k"', "missing")
        self.refuse({name: t for name, t in good.items() if name != "q"}, '"q"', "missing")
        other = problem("gla", 41)
        self.refuse({**good, "v": other["v"]}, '"v"', "40 tokens", "[1, 41, 2, 3]")
        self.refuse({**good, "d_out": other["d_out"]}, '"d_out"', "40 tokens", flags=["--grad"])
        misshapen = problem("gla", 40)
        misshapen["k"] = Tensor((1, 40, 1, 3), [0.0] * 120, "F64")
        self.refuse(misshapen, "rank 0: ", "q: expected")
        misshapen["k"] = Tensor((1, 40, 2), [0.0] * 80, "F64")
        self.refuse(misshapen, '"k"', "4 axes")

    def test_sequence_offsets(self):
        good = {n: t for n, t in problem("gla", 40).items() if "state" not in n}
        for offsets in ([], [0], [0, 20], [1, 40], [0, 41], [0, 30, 20, 40], [0, -1, 40]):
            offsets = Tensor((len(offsets),), offsets, "I64")
            self.refuse({**good, "sequence_offsets": offsets}, "sequence_offsets")
        offsets = Tensor((2,), [0.0, 40.0], "F32")
        self.refuse({**good, "sequence_offsets": offsets}, "sequence_offsets", "I64")
        offsets = Tensor((3,), [0, 10, 40], "I64")
        states = Tensor((3, 2, 2, 3), [0.0] * 36, "F64")
        self.refuse({**good, "sequence_offsets": offsets, "initial_state": states},
                    "initial_state", "2 sequences")
        batch = {n: t for n, t in problem("gla", 40, B=2).items() if "state" not in n}
        self.refuse({**batch, "sequence_offsets": offsets}, "batch")

    def test_flags(self):
        good = problem("gla", 40)
        self.refuse(good, "--mode chunked", "ranks have only scan", mode="chunked")
        self.refuse(good, "--backend cuda", flags=["--backend", "cuda"])
        self.refuse(good, "softplus", flags=["--softplus"])
        done = self.run_replay(
            "--recurrence", "gla", "--mode", "scan", self.input, self.output, "--no-such-flag"
        )
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr.count("--no-such-flag"), 1)

    def test_paths(self):
        good = ("--recurrence", "gla", "--mode", "scan")
        self.assert_refused(["in.safetensors"], *good, self.input, self.output)
        self.assert_refused([self.folder.name], *good, self.folder.name, self.output)
        self.write_input(problem("gla", 40))
        missing = os.path.join(self.folder.name, "missing", "out")
        self.assert_refused([missing], *good, self.input, missing)
        self.assert_refused([self.folder.name], *good, self.input, self.folder.name)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    REPLAY, RANKS, MPIRUN = os.path.abspath(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    HELP = subprocess.run([REPLAY, "--help"], capture_output=True, text=True, check=True).stdout
    RECURRENCES = re.search(r"--recurrence.*?\{(.*?)\}", HELP, re.S).group(1).split(",")
    # one rank is little else than a program alone; the others by one rank more or less
    RECURRENCES = RECURRENCES[::6] if RANKS == 1 else RECURRENCES[RANKS % 2 :: 2]
    unittest.main(argv=sys.argv[:1])
