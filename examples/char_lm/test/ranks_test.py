#!/usr/bin/env python3
"""Runs char_lm under mpirun: ranks that divide the batch learn the bits of one rank, ranks that
share sequences its gradients up to rounding, and what is wrong is said once.

usage: ranks_test.py PATH_OF_CHAR_LM RANKS MPIRUN...    (Python 3 and its standard library only)
"""

import json
import os
import struct
import subprocess
import sys
import unittest

import char_lm_test
from char_lm_test import RECURRENCES

RANKS = 1
MPIRUN = ()


def use_sizes(context, batch):
    char_lm_test.SMALL = ("--width", "16", "--depth", "2", "--heads", "2", "--threads", "1",
                          "--sample", "20", "--prompt", "a", "--seconds-a-timing", "0",
                          "--context", str(context), "--batch",
                          str(batch))  # fmt: skip


class Checkpoint:
    """What a file of char_lm holds; the layout is in checkpoint.hpp."""

    def __init__(self, file):
        (length,) = struct.unpack("<Q", file[8:16])
        self.header = json.loads(file[16 : 16 + length])
        weights, steps, at = self.header["weights"], self.header["step"], 16 + length
        self.first_moment = struct.unpack_from(f"<{weights}f", file, at + 4 * weights)
        self.losses = struct.unpack_from(f"<{steps}f", file, at + 12 * weights)


class OverRanks(char_lm_test.CharLm):
    """Of the class above only what runs the program."""

    def setUp(self):
        super().setUp()
        use_sizes(context=61, batch=3)

    def over_ranks(self, *arguments):
        command = [*MPIRUN, str(RANKS), char_lm_test.CHAR_LM, "--text", self.text, "--out", self.out,
                   *char_lm_test.SMALL, *arguments]  # fmt: skip
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def train_over_ranks(self, *arguments):
        done = self.over_ranks(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertEqual(done.stdout.count("held-out bits per byte"), 1)  # one of them speaks
        return self.checkpoint()

    def expect_gradients_of(self, *arguments, ranks_a_sequence):
        arguments = (*arguments, "--mode", "scan", "--steps", "1")
        self.train(*arguments)
        want = Checkpoint(self.checkpoint())
        shared = ("--ranks-a-sequence", str(ranks_a_sequence))
        got = Checkpoint(self.train_over_ranks(*arguments, *shared))
        self.assertEqual(got.header["run"], want.header["run"])
        self.assertAlmostEqual(got.losses[0], want.losses[0], delta=1e-5)
        size = max(map(abs, want.first_moment))
        for g, w in zip(got.first_moment, want.first_moment, strict=True):
            self.assertAlmostEqual(g, w, delta=2e-5 * size)

    def test_ranks_that_divide_the_batch_learn_the_bits_of_one(self):
        for recurrence, batch in (("gla", 5), ("selective_scan", 2), ("mlstm", 11)):
            with self.subTest(recurrence=recurrence, batch=batch):
                use_sizes(context=64, batch=batch)
                arguments = ("--recurrence", recurrence, "--steps", "3")
                self.train(*arguments)
                want = self.checkpoint()
                self.assertEqual(self.train_over_ranks(*arguments), want)

    def test_goes_on_with_another_number_of_ranks(self):
        self.train("--steps", "3")
        want = self.checkpoint()
        self.train_over_ranks("--steps", "3", "--resume")
        self.assertEqual(self.checkpoint(), want)

    def test_ranks_that_share_sequences_have_the_gradients_of_one(self):
        # one rank is little else than a program alone; the others by twice or half as many
        for recurrence in RECURRENCES[:1] if RANKS == 1 else RECURRENCES[RANKS // 2 % 2 :: 2]:
            with self.subTest(recurrence=recurrence):
                self.expect_gradients_of("--recurrence", recurrence, ranks_a_sequence=RANKS)

    def test_some_share_sequences_and_some_divide_the_batch(self):
        if RANKS % 2 == 0:
            self.expect_gradients_of(ranks_a_sequence=2)

    def test_what_is_wrong_is_said_once(self):
        use_sizes(context=2 * RANKS, batch=2)  # of which nobody has 3 where they share
        scan, shared = ("--mode", "scan"), ("--ranks-a-sequence", str(RANKS))
        wrong = [
            (("--recurrence", "lstm"), "lstm"),
            (("--resume",), "checkpoint"),
            (("--text", os.path.join(self.out, "missing")), "missing"),
            (("--ranks-a-sequence", str(RANKS + 1), *scan), "does not divide"),
            (("--ranks-a-sequence", "0", *scan), "--ranks-a-sequence"),
        ]
        if RANKS > 1:
            wrong += [(shared, "--mode scan"), ((*shared, *scan), "3 bytes")]
        for arguments, words in wrong:
            with self.subTest(arguments=arguments):
                done = self.over_ranks(*arguments)
                self.assertEqual(done.returncode, 2, done.stdout)
                said = [x for x in done.stderr.splitlines() if x.startswith("char_lm: ")]
                self.assertEqual(len(said), 1, done.stderr)
                self.assertIn(words, said[0])


def load_tests(loader, _tests, _pattern):
    own = [name for name in vars(OverRanks) if name.startswith("test_")]
    return unittest.TestSuite(OverRanks(name) for name in own)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    char_lm_test.CHAR_LM = os.path.abspath(sys.argv[1])
    RANKS, MPIRUN = int(sys.argv[2]), sys.argv[3:]
    unittest.main(argv=sys.argv[:1])
