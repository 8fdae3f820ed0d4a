#!/usr/bin/env python3
"""Times of the benchmark's rows on paper: modelled, not measured.

    model.py                                    the table, from the stored reading of the assembler
    model.py --read NVCC SOURCE.cu ...          reads SOURCES anew into model_sm90.json
    model.py --check NVCC SOURCE.cu ...         exit code 1 if SOURCES have other loops by now, take
                                                5 % longer, or break a rule of sass.py; 77 where
                                                cuobjdump is missing. tests/compile/model_kernels.cu has
                                                the kernels of the reading alone
    model.py --write FILE                       puts the table into FILE, between two marks
    model.py --loops                            what loops the reading has, for whoever changes TRIPS
    model.py --self-test                        exit code 1 if model and reading do not fit, or if one
                                                of its rules finds no error in what is wrong

A program's instructions are those of its loops (natural ones, of the control flow) times how often
they run, which TRIPS knows of every loop: a kernel whose loops are others is an error, not a time.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import sass

READING = Path(__file__).with_name("model_sm90.json")
SIZES = Path(__file__).with_name("sass_sm90.json")
COUNTED = ("LDG", "STG", "LDS", "LDSM", "STS", "HMMA", "MUFU", "SHFL", "BAR")


# ---- reading

def blocks_of(body: list[sass.Instruction]) -> tuple[list[range], list[list[int]]]:
    """Basic blocks as ranges of instructions, and who follows whom."""
    place = {i.at: n for n, i in enumerate(body)}

    def target(i):
        match = sass.TARGET.search(i.operands) if i.family == "BRA" else None
        return place.get(int(match.group(1), 16)) if match else None

    begins = {0}
    for n, i in enumerate(body):
        if (to := target(i)) is not None:
            begins |= {to, n + 1}
        elif i.family in {"EXIT", "RET"}:
            begins.add(n + 1)
    begins = sorted(b for b in begins if b < len(body))
    blocks = [range(a, b) for a, b in zip(begins, begins[1:] + [len(body)])]
    block_at = {b.start: n for n, b in enumerate(blocks)}
    follows = []
    for n, block in enumerate(blocks):
        last = body[block[-1]]
        to = target(last)
        next_ones = [block_at[to]] if to is not None else []
        sure = not last.guarded and (last.family in {"EXIT", "RET"} or (
            to is not None and "," not in last.operands))
        if not sure and n + 1 < len(blocks):
            next_ones.append(n + 1)
        follows.append(next_ones)
    return blocks, follows


def dominators(follows: list[list[int]]) -> list[set[int]]:
    before = [[] for _ in follows]
    for n, to in enumerate(follows):
        for m in to:
            before[m].append(n)
    every = set(range(len(follows)))
    over = [{0}] + [every] * (len(follows) - 1)
    changed = True
    while changed:
        changed = False
        for n in range(1, len(follows)):
            known = [over[m] for m in before[n]]
            now = set.intersection(*known) | {n} if known else every
            if now != over[n]:
                over[n], changed = now, True
    return over


def loops_of(body: list[sass.Instruction]) -> list[dict]:
    """Loops by address, the whole kernel first: own instructions (without those of inner loops), and
    which loop is round it."""
    blocks, follows = blocks_of(body)
    over = dominators(follows)
    inside: dict[int, set[int]] = {}
    before = [[] for _ in follows]
    for n, to in enumerate(follows):
        for m in to:
            before[m].append(n)
    for n, to in enumerate(follows):
        for head in to:
            if head in over[n] and over[n] != set(range(len(follows))):
                found, left = {head}, [n]
                while left:
                    m = left.pop()
                    if m not in found:
                        found.add(m)
                        left += before[m]
                inside.setdefault(head, set()).update(found)
    heads = sorted(inside)
    sets = [set(range(len(blocks)))] + [inside[h] for h in heads]
    result = []
    for n, own in enumerate(sets):
        outer = [m for m in range(len(sets)) if m != n and own < sets[m]]
        inner = set().union(*(sets[m] for m in range(len(sets)) if sets[m] < own))
        code = [body[i] for b in sorted(own - inner) for i in blocks[b]]
        count = Counter(i.family for i in code)
        result.append({"round": min(outer, key=lambda m: len(sets[m])) if outer else None,
                       "instructions": len(code),
                       **{k.lower(): count[k] for k in COUNTED if count[k]}})
    return result


def compiled(nvcc: str, sources: list[str]) -> list[sass.Kernel]:
    with tempfile.TemporaryDirectory() as folder:
        return [k for source in sources
                for k in sass.compiled(nvcc.split(), source, Path(folder))]


def read(kernels: list[sass.Kernel]) -> dict:
    names = sass.demangled([k.name for k in kernels])
    return {sass.short(names[k.name]): {"registers": k.registers, "loops": loops_of(k.body)}
            for k in kernels if sass.short(names[k.name]) in TRIPS}


# ---- the card: H200 SXM. Multiprocessors, memory and the rate of matrix units are NVIDIA's (data
# sheet of the H200; "NVIDIA H100 Tensor Core GPU Architecture", from whose rate of dense bf16 the
# clock follows: 989.4e12 = 132 * 4096 * clock). The rest are guesses.
SMS = 132
CLOCK = 1.83e9
BANDWIDTH = 4.8e12
MATRIX = 989.4e12
REACHED = 0.88  # of the bandwidth by a kernel that does nothing but copy
SCHEDULERS = 4  # of a multiprocessor: each issues one instruction of a warp a clock at most
ISSUED = 0.7  # of the clocks, by a kernel that waits for nothing else
MMA_SHARE = 0.62  # of the matrix rate by mma.sync, which only wgmma reaches
LATENCY = 800  # clocks until a load from memory is there
A_WARP = 2.0  # clocks an instruction that a warp alone needs: some wait for the one before
SHARED = 228 * 1024
MMA_FLOP = 2 * 16 * 8 * 16

WARPS = 4  # of a block of every program here
WAYS = 0.55  # of straight code that has several ways, how much is run


def keys_of(n):
    return n["keys"] / 64


def values_of(n):
    """Tiles of values that a block of split_chunk_state goes through."""
    return min(n["values"] / 64, 2)


def width_of(n):
    """Channels that a block of elementwise has: fewer where blocks would be fewer than SMS."""
    return 32 if n["batch"] * n.get("channels", 0) / 32 >= SMS else 16


def tiles_of(n):
    """Of a sequence: 128 threads, 16 tokens each."""
    return n["time"] / (16 * 128 / width_of(n))


def state_share(n):
    """Of its code for tokens: the ways for whole tiles, whose values are fetched, with keys for the
    first tile of values only."""
    first, more = (0.39, 0.08) if n.get("scalar_gate") else (0.42, 0.06)
    return (first + more * (values_of(n) - 1)) / values_of(n)


# How often every loop of a kernel turns for one turn of the loop round it, the kernel itself first, on
# average over warps; or that and the share of its code that is run. Whole chunks of 64 tokens, one
# sequence, gates that divide: so ways for packed sequences, parts of tiles, exact pairs and what is
# not finite are not run.
TRIPS = {
    # kernel, block; search; tiles of values and what is stored of them; tiles of tokens, of which
    # keys come once; products by 16
    **{f"split_chunk_state<gla, bf16, {back}, {head}>": lambda n: [
        (1, WAYS), (1, WAYS), 0, (values_of(n), 0.7), (1, state_share(n)), 4]
       for back in ("false", "true") for head in ("false", "true")},
    # kernel, block; search; keys, tiles of tokens with states: parts of 8 tokens; values of others;
    # own^; parts of states; other tiles; scores; then products; exact pairs; values (not where they
    # are fetched); results (forward of tiles that are not whole)
    "chunk_scan<gla, bf16, false, false>": lambda n: [
        (1, WAYS), (1, WAYS), 0, 0, (keys_of(n), 0.35), (1, 0.85), 2, 0, 0, 0, 0, 0, 0, (4, 0.62),
        0, 4, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
    "chunk_scan<gla, bf16, true, false>": lambda n: [
        (1, WAYS), (1, WAYS / 2), 0, (keys_of(n), 0.35), (1, 0.85), 2, 0, 0, 0, 0, 0, (4, 0.62), 0, 4,
        0, 0, 0, 0, 1, 1, 0, 0, 0, 0, (4, 0.15)],
    # one gate a head. Kernel, block; search; keys and states: their parts where tiles are not
    # whole; products; gates of other tiles; values; other tiles; results
    "chunk_scan<gla, bf16, false, true>": lambda n: [
        (1, WAYS), (1, WAYS), 0, 0, (keys_of(n), 0.95), 0, 0, 0, (4, 0.8), 0, 0, 0, 0, 0, 0, 0, 0, 0,
        1, 0, 0, 0, 0, 0],
    "chunk_scan<gla, bf16, true, true>": lambda n: [
        (1, WAYS), (1, WAYS / 2), 0, (keys_of(n), 0.95), 0, 0, 0, (4, 0.8), 0, 0, 0, 0, 0, 0, 0, 0,
        1, 1, 0, 0, 0, 0, (4, 0.15)],
    # kernel, block; search; values by 64: three arrays and the fourth, not whole ones, products by
    # 16; q and gates, k; other subchunks before and after; a key of 16 tokens; again what is not
    # finite; results
    "split_keys_adjoint<gla, bf16 >": lambda n: [
        (1, WAYS), (1, WAYS), 0, n["values"] / 64, 2, 0, 0, 0, 0, (4, 0.9), 4, 4, 1.5, 1.5, 2,
        0, 0, 0, 0, 0, 0, (2, 0.4), (2, 0.35)],
    # kernel, block; search; keys by 64, the first ones last; values by 64; states by 4; parts of tiles
    # that are not whole; q of 8 tokens; weighed scores of another subchunk; q k^T by 32; products with
    # another subchunk, before and after; again what is not finite; gates once, by sums up and down;
    # results by 32 keys, 8 tokens, with gates for one warp's width of the keys
    "head_keys_adjoint<gla, bf16 >": lambda n: [
        (1, WAYS), (1, WAYS), 0, (keys_of(n), 0.68), (n["values"] / 64, 0.68), 4, 0, 0, 0, 0, 2, 0,
        1.5, 2, 1, 1, 0, 0, 0, 0, 0, 0, 10 / keys_of(n), 1.5 / keys_of(n), 16, 0, 0, 0, 0, 0, 0, 0,
        (2, 0.08), (4 - 2 / keys_of(n), 0.22), (2 / keys_of(n), 0.3)],
    # kernel, block; search; what is fetched at first, its tails; tiles, of 16 tokens a thread, of which
    # outputs are a part; steps of 16 runs, of four; exact tokens; tails
    "fetched_scan<elementwise, float, false>": lambda n: [
        (1, WAYS), (1, WAYS), 0, 3, 0, 0, (tiles_of(n), 0.27 if n.get("only_states") else 0.33), 0,
        128 / width_of(n) / 4, 0, 0, 0],
    # the same against time; steps of 8 runs are straight code; imaginary parts of real gradients
    "fetched_adjoint<elementwise, float, false>": lambda n: [
        (1, WAYS), (1, WAYS), 0, 2, 0, 0, 0, (tiles_of(n), 0.32), 0, 0, 0, 0, 0, 0, 0],
    # kernel, block; search; runs of 32 tokens: keys; values, four tokens at a time; chunks of 8
    # tokens, and their ways that are not run; outputs by two, four parts of each
    "shared_keys::segment_scan<selective_scan, bf16, 4>": lambda n: [
        (1, WAYS), (1, WAYS), 0, n["time"] / 32, 1, (2, 0.95), (4, 0.21) if n.get("only_states")
        else (4, 0.25), 0, 0, 0, 0, 0, 0, (0 if n.get("only_states") else 4, 0.85), 0, 1, 0, 1],
    # kernel, block; search; chunks of 8 tokens: keys by a warp; values; states by two; twice: four
    # tokens against time; sums over channels, which are straight code, and over four threads; what
    # channels get; at the end sums over threads
    "shared_keys::segment_adjoint<selective_scan, bf16, 4>": lambda n: [
        (1, WAYS), (1, WAYS), 0, (n["time"] / 8, 0.9), 0.25, 1, 4, 2, 4, 2, (1, 0.5), 0, 0, 2,
        (2, 0.5), 0, 1, 0, 0, 0, 1, 0, 0, 1, 0],
}
# Bytes of shared memory of a block, as the programs say.
MEMORY = {"split_chunk_state": 40032, "chunk_scan": 57472, "split_keys_adjoint": 75904,
          "head_keys_adjoint": 73344,
          "fetched_scan": 70656, "fetched_adjoint": 78848, "shared_keys::segment_scan": 28672,
          "shared_keys::segment_adjoint": 70144}


def run_counts(loops, trips):
    """How often each loop's code is run in one block's warp."""
    if len(loops) != len(trips):
        raise ValueError(f"{len(loops)} loops, the model knows {len(trips)}")
    turns, runs = [], []
    for loop, trip in zip(loops, trips):
        often, share = trip if isinstance(trip, tuple) else (trip, 1)
        turns.append(often * (1 if loop["round"] is None else turns[loop["round"]]))
        runs.append(turns[-1] * share)
    return runs


class Program:
    """One launch: a kernel of the reading, or `None` and bytes only; what its loops depend on beside
    the row's sizes."""

    def __init__(self, name, blocks, moved, loops=None, **also):
        self.name, self.blocks, self.moved, self.loops = name, blocks, moved, loops
        self.also = also

    def times(self, reading, n):
        """Seconds by each bound."""
        n = {**n, **self.also}
        result = {"bandwidth": self.moved / (BANDWIDTH * REACHED)}
        if self.loops is None:
            return result
        kernel = reading[self.loops]
        loops, trips = kernel["loops"], TRIPS[self.loops](n)
        runs = run_counts(loops, trips)
        total = {k: sum(r * loop.get(k, 0) for r, loop in zip(runs, loops))
                 for k in ("instructions", "ldg", "hmma", "bar")}
        registers = -(-kernel["registers"] * 32 // 256) * 256 * WARPS
        shared = MEMORY[self.loops.split("<")[0]] + 1024
        together = min(65536 // registers, SHARED // shared)
        clocks = total["instructions"] * A_WARP + LATENCY * total["ldg"] / 24 + 40 * total["bar"]
        # on the busiest multiprocessor, where blocks are few
        result["issue"] = max(self.blocks / SMS, 1) * WARPS * total["instructions"] / (
            SCHEDULERS * CLOCK * ISSUED)
        result["latency"] = max(self.blocks / (SMS * together), 1) * clocks / CLOCK
        result["matrix"] = self.blocks * WARPS * total["hmma"] * MMA_FLOP / (MATRIX * MMA_SHARE)
        return result


def gla_programs(n, both):
    """As matrix/runner.hpp launches them, K and V in tiles of 64, of V two a block of
    chunk_state."""
    tokens, heads, k, v = n["batch"] * n["time"], n["heads"], n["keys"], n["values"]
    chunks, tiles = tokens // 64 * heads, (k // 64) * -(-v // 128)
    state = chunks * k * v * 4
    keys, values = tokens * heads * k * 2, tokens * heads * v * 2
    gates = tokens * heads * (1 if n.get("scalar_gate") else k) * 2
    head = "true" if n.get("scalar_gate") else "false"

    def of(name, back):
        return f"{name}<gla, bf16, {back}, {head}>"
    out = [Program("chunk_state", chunks * tiles, keys + gates + values + state,
                   of("split_chunk_state", "false")),
           Program("state_passing", 0, 2 * state)]
    outputs = Program("chunk_scan", chunks * (v // 64), 2 * keys + gates + 2 * values + state,
                      of("chunk_scan", "false"))
    if not both:
        return out + [outputs]
    back = [Program("chunk_state back", chunks * tiles, keys + gates + values + state,
                    of("split_chunk_state", "true")),
            Program("state_passing back", 0, 2 * state),
            Program("gradients of values", chunks * (v // 64),
                    2 * keys + gates + 2 * values + state, of("chunk_scan", "true")),
            # (with one gate a head by a block for all keys, which finds values again in a cache)
            Program("gradients of keys", chunks, 4 * keys + 2 * gates + 2 * values + 2 * state,
                    "head_keys_adjoint<gla, bf16 >") if n.get("scalar_gate") else
            Program("gradients of keys", chunks * (k // 64),
                    4 * keys + 2 * gates + (k // 64) * 2 * values + 2 * state,
                    "split_keys_adjoint<gla, bf16 >")]
    return out + [outputs] + out + back


def elementwise_programs(n, both):
    """As diagonal/runner.hpp launches them, in float, with enough channels for one pass. States that
    backward keeps are those of every 16th token."""
    elements = n["batch"] * n["channels"] * n["time"]
    blocks = n["batch"] * -(-n["channels"] // width_of(n))
    scan = "fetched_scan<elementwise, float, false>"
    out = [Program("fetched_scan", blocks, 12 * elements, scan)]
    if not both:
        return out
    return out + [Program("fetched_scan, states", blocks, 8.25 * elements, scan, only_states=True),
                  Program("fetched_adjoint", blocks, 20.25 * elements,
                          "fetched_adjoint<elementwise, float, false>")]


def selective_scan_programs(n, both):
    """The same in bf16, with u, step and z; 32 channels a block, four keys a thread."""
    tokens, keys = n["batch"] * n["time"], n["keys"]
    elements = tokens * n["channels"]
    blocks = n["batch"] * n["channels"] // 32
    kept = elements * keys * 4 / 8  # states of every eighth token
    sums = 2 * tokens * keys * 4 * n["channels"] / 32  # of B and C, a copy a block of channels
    scan = "shared_keys::segment_scan<selective_scan, bf16, 4>"
    out = [Program("segment_scan", blocks, 4 * 2 * elements, scan)]
    if not both:
        return out
    return out + [Program("segment_scan, states", blocks, 2 * 2 * elements + kept, scan,
                          only_states=True),
                  Program("segment_adjoint", blocks, 7 * 2 * elements + kept + sums,
                          "shared_keys::segment_adjoint<selective_scan, bf16, 4>"),
                  Program("sums of gradients", 0, sums)]


def streams(*arrays_of_bytes):
    return lambda n, both: [Program("streams", 0, arrays_of_bytes[both])]


GLA = {"batch": 1, "time": 8192, "heads": 96, "keys": 128, "values": 128}
PUBLISHED = {"batch": 32, "time": 2048, "heads": 32, "keys": 128, "values": 128}
ONE_GATE = {**GLA, "scalar_gate": True}
ELEMENTWISE = {"batch": 8, "time": 65536, "channels": 1536}
FEW_CHANNELS = {"batch": 16, "time": 16384, "channels": 128}
SELECTIVE = {"batch": 32, "time": 2048, "channels": 4096, "keys": 16}
# name; shape; programs; bars of the benchmark in ms, forward and both; a peer's published figures in
# ms, and where: its own benchmark, on another card. None: none known.
ROWS = [
    ("gla, B 1, L 8192, H 96, K = V = 128, bf16", GLA, gla_programs, (2.5, 10),
     (1.77, 7.67), "flash-linear-attention, GB200"),
    ("gla, B 32, L 2048, H 32, K = V = 128, bf16", PUBLISHED, gla_programs, (5.84, 23.4),
     (5.84, 23.4), "flash-linear-attention, H100"),
    ("gla, a gate a head, B 32, L 2048, H 32, K = V = 128, bf16",
     {**PUBLISHED, "scalar_gate": True}, gla_programs, (3.49, 13.05),
     (3.49, 13.05), "flash-linear-attention, H100"),
    ("step of gla, B 64, H 32, K = V = 128, bf16", {}, streams(64 * 32 * 128 * 128 * 8, None),
     (0.073, None), (None, None), ""),
    ("selective scan, B 32, L 2048, D 4096, N 16, bf16", SELECTIVE, selective_scan_programs,
     (5.01, 20.7), (5.01, 31.1), "mamba-ssm, H100"),
    ("elementwise, B 8, L 65536, D 1536, float", ELEMENTWISE, elementwise_programs, (2.64, 7.05),
     (11.3, None), "accelerated-scan, card not named"),
    ("elementwise, B 16, L 16384, D 128, float", FEW_CHANNELS, elementwise_programs, (0.25, None),
     (1.27, None), "flash-linear-attention (hgrn), H800"),
]


def modelled(reading, row):
    """(pass, ms, by bound) of a row; a launch takes as long as its slowest bound."""
    _, n, programs, *_ = row
    for both in (0, 1):
        todo = programs(n, both)
        if todo[0].moved is None:
            continue
        by, total = Counter(), 0.0
        for program in todo:
            times = program.times(reading, n)
            bound = max(times, key=times.get)
            by[bound] += times[bound]
            total += times[bound]
        yield both, 1e3 * total, by, any(p.loops for p in todo)


def table(reading) -> list[str]:
    lines = ["| row | pass | modelled, ms | bound | bar, ms | peer, ms | within 1.3 of the peer |",
             "|---|---|---:|---|---:|---:|---|"]
    for row in ROWS:
        name, _, _, bars, peers, card = row
        for both, ms, by, read_from_code in modelled(reading, row):
            peer = peers[both]
            bound = by.most_common(1)[0][0] if read_from_code else "bandwidth (bytes only)"
            near = ("" if peer is None else "not known" if not read_from_code else
                    "yes" if ms <= 1.3 * peer else "no")
            lines.append(f"| {name} | {'both' if both else 'forward'} | {ms:.2f} | {bound} | "
                         f"{bars[both] or ''} | {f'{peer} ({card})' if peer else ''} | {near} |")
    return lines


def programs_table(reading) -> list[str]:
    lines = ["| program | launch, ms: issue | latency | bandwidth | matrix units |",
             "|---|---:|---:|---:|---:|"]
    of_gla = gla_programs(GLA, True)[3:] + gla_programs(GLA, False)[2:]
    of_heads = [p for p in gla_programs(ONE_GATE, True)[3:] + gla_programs(ONE_GATE, False)[2:]
                if p.loops and ("true>" in p.loops or "head_" in p.loops)]
    for p, n, gates in ([(p, GLA, "") for p in of_gla] +
                        [(p, ONE_GATE, ", a gate a head") for p in of_heads] +
                        [(p, ELEMENTWISE, "") for p in elementwise_programs(ELEMENTWISE, True)] +
                        [(p, SELECTIVE, ", selective scan")
                         for p in selective_scan_programs(SELECTIVE, True)]):
        times = p.times(reading, n)
        cells = [f"{1e3 * times[b]:.2f}" if b in times else ""
                 for b in ("issue", "latency", "bandwidth", "matrix")]
        lines.append(f"| {p.name}{gates} | " + " | ".join(cells) + " |")
    return lines


MARKS = ("<!-- model.py -->", "<!-- end -->")
README = Path(__file__).with_name("README.md")


def text(reading) -> list[str]:
    return ["Modelled, not measured: no card has run any of it.", "", *table(reading), "",
            *programs_table(reading)]


# ---- tests

def compare(now, reading) -> int:
    """Whether the stored reading is still what the compiler makes."""
    wrong = [name for name in TRIPS if name not in now]
    for program, n in ([(p, GLA) for p in gla_programs(GLA, True)[3:] + gla_programs(GLA, False)] +
                       [(p, ONE_GATE) for p in gla_programs(ONE_GATE, True)] +
                       [(p, ELEMENTWISE) for p in elementwise_programs(ELEMENTWISE, True)] +
                       [(p, SELECTIVE) for p in selective_scan_programs(SELECTIVE, True)]):
        if program.loops in now:
            try:
                times = [program.times(r, n)["issue"] for r in (now, reading)]
            except ValueError as error:
                wrong.append(f"{program.loops}: {error}")
                continue
            print(f"{program.loops}: {1e3 * times[0]:.2f} ms of issue, {1e3 * times[1]:.2f} stored")
            if times[0] > 1.05 * times[1]:
                wrong.append(program.loops)
    print("other than stored: " + ", ".join(wrong) if wrong else "as stored")
    return 1 if wrong else 0


def self_test(reading) -> int:
    """Each line is a fact that a wrong model or reading breaks."""
    def refused(f):
        try:
            f()
        except ValueError:
            return True
        return False

    def quiet(f):
        with contextlib.redirect_stdout(io.StringIO()):
            return f()

    def code(*lines):
        text = "\t\tFunction : f\n"
        for number, line in enumerate(lines):
            text += f"        /*{16 * number:04x}*/                   {line} ;\n"
        return sass.parse(text, "Function f:\n  REG:40 STACK:0 SHARED:0 LOCAL:0\n")[0].body

    # two loops, one in the other, and code behind the end that jumps back into the outer one
    nested = loops_of(code("MOV R1, RZ", "IADD3 R1, R1, R2", "LDG.E R3, [R4.64]", "@P0 BRA 0x20",
                           "@P2 BRA 0x70", "@P1 BRA 0x10", "EXIT", "CALL 0x100", "BRA 0x50"))
    scan = "chunk_scan<gla, bf16, false, false>"
    outputs = gla_programs(GLA, False)[2]
    times = outputs.times(reading, GLA)
    twice = {**reading, scan: {**reading[scan], "loops": [
        {**loop, "instructions": 2 * loop["instructions"]} for loop in reading[scan]["loops"]]}}
    fewer = {**reading, scan: {**reading[scan], "loops": reading[scan]["loops"][:-1]}}
    long = {**GLA, "time": 2 * GLA["time"]}
    wide = {**GLA, "keys": 256}
    hmma = sum(r * loop.get("hmma", 0) for r, loop in zip(
        run_counts(reading[scan]["loops"], TRIPS[scan](GLA)), reading[scan]["loops"]))
    # three products each: scores with 2.5 blocks of 16 tokens, own S, P v; 16 deep, 8 columns
    needed = 3 * (128 / 16 * 2.5 * 2 + 128 / 16 * 8 + 2.5 * 8)
    rows = dict((row[0], list(modelled(reading, row))) for row in ROWS)
    facts = {
        "loops of written code": [loop["round"] for loop in nested] == [None, 0, 1],
        "their instructions": [loop["instructions"] for loop in nested] == [2, 5, 2],
        "every kernel is read": sorted(reading) == sorted(TRIPS),
        "every kernel's loops are known": all(
            len(k["loops"]) == len(TRIPS[name](GLA)) for name, k in reading.items()),
        "another loop is refused": refused(lambda: outputs.times(fewer, GLA)),
        "twice the instructions, twice the time of issue": abs(
            outputs.times(twice, GLA)["issue"] / times["issue"] - 2) < 1e-9,
        "twice the tokens, twice the time": abs(
            gla_programs(long, False)[2].times(reading, long)["issue"] / times["issue"] - 2) < 1e-9,
        "more keys, more time": gla_programs(wide, False)[2].times(reading, wide)["issue"]
        > 1.4 * times["issue"],
        "matrix products of a warp, counted by hand": 0.7 * needed < hmma < 1.7 * needed,
        "both is more than twice forward": rows[ROWS[0][0]][1][1] > 2 * rows[ROWS[0][0]][0][1],
        "the README has the table": "\n".join(text(reading)) in README.read_text(),
        "a change is seen": quiet(lambda: compare(twice, reading)) == 1
        and quiet(lambda: compare(fewer, reading)) == 1
        and quiet(lambda: compare(reading, reading)) == 0,
        "no row is faster than its bytes": all(
            ms >= 1e3 * sum(p.moved for p in row[2](row[1], both)) / BANDWIDTH
            for row in ROWS for both, ms, _, _ in rows[row[0]]),
    }
    wrong = [fact for fact, right in facts.items() if not right]
    print("self test: " + ("right" if not wrong else f"wrong: {', '.join(wrong)} ({hmma}, {needed})"))
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    # NVCC: the compiler and its options, in one word
    parser.add_argument("--read", nargs="+", metavar=("NVCC", "SOURCE"))
    parser.add_argument("--check", nargs="+", metavar=("NVCC", "SOURCE"))
    parser.add_argument("--write", type=Path)
    parser.add_argument("--loops", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    settings = parser.parse_args()
    if settings.read:
        READING.write_text(json.dumps(read(compiled(settings.read[0], settings.read[1:])),
                                      indent=1) + "\n")
    reading = json.loads(READING.read_text())
    if settings.check:
        if not shutil.which("cuobjdump"):
            print("skipped: no cuobjdump")
            return 77
        kernels = compiled(settings.check[0], settings.check[1:])
        wrong = sass.broken(sass.numbers(kernels), json.loads(SIZES.read_text()))
        print("\n".join(wrong) or "no rule is broken")
        return max(compare(read(kernels), reading), 1 if wrong else 0)
    if settings.write:
        before, _, rest = settings.write.read_text().partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        settings.write.write_text(before + "\n".join([MARKS[0], *text(reading), MARKS[1]]) + after)
        return 0
    if settings.self_test:
        return self_test(reading)
    if settings.loops:
        for name, kernel in reading.items():
            print(name)
            for n, (loop, trips) in enumerate(zip(kernel["loops"], TRIPS[name](GLA))):
                print(f"  {n}: {trips} times a turn of {loop['round']}, {loop}")
        return 0
    print("\n".join(text(reading)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
