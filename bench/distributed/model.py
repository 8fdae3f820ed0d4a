#!/usr/bin/env python3
"""How a sequence scales over many ranks, from constants that bench_distributed measures on two.

    model.py [--latency 2e-6] [--bandwidth 12e9] [--tokens 1073741824] [--backward]

A rank's time is its own work, tokens / ranks of them, and the wait for its state, which comes past
all ranks before it in some messages:

    T(n) = work L / n + (ranks before + messages) (latency + bytes / bandwidth + bytes / apply)

Efficiency is the time of the best mode on one core over n T(n). It halves where both terms are the
same; from n = sqrt(work L / hop) on more ranks take longer. Latency and bandwidth are those of the
network, which is assumed, not measured: say yours.
"""
import argparse
import math

# Name; bytes of all states of a token's heads or channels, and of a message of them; microseconds a
# token on one core: forward in the best mode, on a rank in the middle where gates forget, and where
# they do not; backward in the best mode and on a rank in the middle. Measured by bench_distributed
# on 2026-11-30 (include/gatescan/distributed/README.md): the best mode is `automatic` alone; where
# gates forget, two ranks; the others are one machine in `scan`, which does what a rank in the middle
# does.
FORMS = [
    ("diagonal, elementwise, D 512", 2048, 2048, 0.97, 0.97, 1.03, 3.35, 3.1),
    ("diagonal, selective scan, D 1536, N 16", 98304, 65536, 4.3, 5.9, 9.0, 15.7, 27.2),
    ("matrix, gla, K = V = 128, H 4", 294912, 73728, 1.97, 2.17, 3.6, 8.3, 10.3),
    ("corrected, gated delta net, K = V = 128, H 4", 294912, 73728, 3.84, 10.6, 10.6, 22.4, 41.8),
]
# Bytes of a state a second that are taken from a message and have a summary applied to them: 64 KB
# in 13 us between two ranks of one machine. A corrected transition multiplies by K keys for one:
# computed, from 8e10 products a second of gla's kernels.
APPLY, APPLY_CORRECTED = 5e9, 1.8e9


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--latency", type=float, default=2e-6, help="seconds a message [assumed: 2e-6]")
    parser.add_argument("--bandwidth", type=float, default=12e9, help="bytes a second [assumed: 12e9]")
    parser.add_argument("--tokens", type=int, default=2**30)
    parser.add_argument("--backward", action="store_true")
    asked = parser.parse_args()
    ranks = [2**i for i in range(1, 11)]
    for name, state, message, best, forgets, keeps, back_best, back in FORMS:
        apply = APPLY_CORRECTED if name.startswith("corrected,") else APPLY
        hop = asked.latency + message / asked.bandwidth + message / apply
        messages = math.ceil(state / message)
        ways = [("backward", back_best, back)] if asked.backward else [
            ("gates forget", best, forgets), ("gates do not", best, keeps)]
        for way, alone, work in ways:
            rows = []
            for n in ranks:
                time = work * 1e-6 * asked.tokens / n + (n - 1 + messages) * hop
                rows.append(f"{alone * 1e-6 * asked.tokens / (n * time):6.2f}")
            limit = math.sqrt(work * 1e-6 * asked.tokens / hop)
            print(f"{name}, {way}: a hop {1e6 * hop:.0f} us, most useful ranks {limit:.0f}")
            print("  ranks     " + "".join(f"{n:6d}" for n in ranks))
            print("  efficiency" + "".join(rows))


if __name__ == "__main__":
    main()
