#!/usr/bin/env python3
"""Runs char_lm on a little text: every recurrence trains, writes its files and goes on from them,
and a wrong command line is refused.

usage: char_lm_test.py PATH_OF_CHAR_LM with-cuda|without-cuda
                                            (Python 3 and its standard library only)
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

CHAR_LM = ""
HAS_CUDA = False  # built with nvcc, which says nothing about this machine
RECURRENCES = ("gla", "gateloop", "selective_scan", "mamba2", "gated_delta_net", "rwkv7", "mlstm")
SMALL = ("--width", "16", "--depth", "2", "--heads", "2", "--context", "64", "--batch", "2",
         "--threads", "1", "--sample", "20", "--prompt", "a", "--seconds-a-timing", "0")  # fmt: skip


class CharLm(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.out = os.path.join(folder.name, "out")
        self.text = os.path.join(folder.name, "text.txt")
        letters = random.Random(1)
        words = ["".join(letters.choices("aeiourstln", k=letters.randint(2, 8))) for _ in range(99)]
        with open(self.text, "w", encoding="ascii") as stream:
            for _ in range(600):
                stream.write(" ".join(letters.choices(words, k=9)) + ". ")

    def run_char_lm(self, *arguments, **environment):
        command = [CHAR_LM, "--text", self.text, "--out", self.out, *SMALL, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False,
                              env=os.environ | environment)  # fmt: skip

    def train(self, *arguments):
        done = self.run_char_lm(*arguments)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        self.assertNotIn("nan", done.stdout)
        return done.stdout

    def test_trains_and_writes_its_files(self):
        for recurrence in RECURRENCES:
            with self.subTest(recurrence=recurrence):
                self.train("--recurrence", recurrence, "--steps", "3")
                self.assertGreater(self.size("checkpoint.bin"), 10000)
                self.assertEqual(self.size("sample.txt"), 21)
                for picture in ("loss.svg", "attention.svg"):
                    root = xml.etree.ElementTree.parse(os.path.join(self.out, picture)).getroot()
                    self.assertTrue(root.tag.endswith("svg"), root.tag)
                    self.assertGreater(len(list(root.iter())), 10)

    def size(self, name):
        return os.path.getsize(os.path.join(self.out, name))

    def checkpoint(self):
        with open(os.path.join(self.out, "checkpoint.bin"), "rb") as stream:
            return stream.read()

    def test_the_same_seed_gives_the_same_weights(self):
        self.train("--steps", "3")
        first = self.checkpoint()
        self.train("--steps", "3")
        self.assertEqual(self.checkpoint(), first)
        self.train("--steps", "3", "--seed", "2")
        self.assertNotEqual(self.checkpoint(), first)

    def test_resumes(self):
        self.train("--steps", "3")
        self.assertIn("resumed at step 3", self.train("--resume"))

    def test_refusals(self):
        for arguments in (
            ("--recurrence", "lstm"),
            ("--mode", "none"),
            ("--heads", "3"),
            ("--steps", "-1"),
            ("--resume",),
            ("--text", os.path.join(self.out, "missing")),
        ):
            with self.subTest(arguments=arguments):
                done = self.run_char_lm(*arguments)
                self.assertEqual(done.returncode, 2, done.stdout)
                self.assertTrue(done.stderr.startswith("char_lm: "), done.stderr)
                self.assertFalse(os.path.exists(os.path.join(self.out, "loss.svg")))

    def test_without_a_device(self):
        done = self.run_char_lm("--backend", "cuda", "--steps", "3", CUDA_VISIBLE_DEVICES="")
        self.assertEqual(done.returncode, 2, done.stdout)
        self.assertTrue(done.stderr.startswith("char_lm: "), done.stderr)
        self.assertIn("no CUDA device" if HAS_CUDA else "built without CUDA", done.stderr)
        self.assertFalse(os.path.exists(self.out))

    def test_learns_on_a_device_what_it_learns_on_the_host(self):
        done = self.run_char_lm("--backend", "cuda", "--steps", "3")
        if done.returncode != 0 and "CUDA" in done.stderr:
            self.skipTest(done.stderr.strip())
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        bits = re.compile(r"held-out bits per byte: ([\d.]+)")
        there = float(bits.search(done.stdout)[1])
        here = float(bits.search(self.train("--steps", "3"))[1])
        self.assertAlmostEqual(there, here, delta=0.01)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[2] not in ("with-cuda", "without-cuda"):
        sys.exit(__doc__)
    CHAR_LM = os.path.abspath(sys.argv.pop(1))
    HAS_CUDA = sys.argv.pop(1) == "with-cuda"
    unittest.main()
