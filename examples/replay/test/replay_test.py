#!/usr/bin/env python3
"""Runs replay on small files: what it writes when all is well, and that it says why, exits with 2
and leaves nothing behind when it is not.

usage: replay_test.py PATH_OF_REPLAY with-cuda|without-cuda
                                           (Python 3 and its standard library only)
"""

import cmath
import json
import math
import os
import re
import struct
import subprocess
import sys
import tempfile
import unittest

REPLAY = ""
HAS_CUDA = False  # built with nvcc, which says nothing about this machine
RECURRENCES = ()  # as the program lists them
MODES = ("recurrent", "scan", "chunked", "attention")


class Tensor:
    """Numbers in the file's order, with a shape and a dtype."""

    CODES = {"F64": "d", "F32": "f", "F16": "e", "I64": "q"}

    def __init__(self, shape, values, dtype="F32"):
        self.shape, self.values, self.dtype = list(shape), list(values), dtype

    def encode(self):
        if self.dtype == "BF16":  # exact for the few bits that these tests use
            return b"".join(struct.pack("<f", x)[2:] for x in self.values)
        return struct.pack(f"<{len(self.values)}{self.CODES[self.dtype]}", *self.values)

    @classmethod
    def decode(cls, data, shape, dtype):
        if dtype == "BF16":
            pairs = (data[i : i + 2] for i in range(0, len(data), 2))
            return cls(shape, [struct.unpack("<f", b"\0\0" + p)[0] for p in pairs], dtype)
        code = cls.CODES[dtype]
        return cls(
            shape, struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data), dtype
        )

    def __eq__(self, other):
        return vars(self) == vars(other)

    def __repr__(self):
        return f"{self.dtype}{self.shape}{self.values}"


def encode(tensors):
    header, data = {}, b""
    for name, tensor in tensors.items():
        encoded = tensor.encode()
        places = [len(data), len(data) + len(encoded)]
        header[name] = {"dtype": tensor.dtype, "shape": tensor.shape, "data_offsets": places}
        data += encoded
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def decode(file):
    (length,) = struct.unpack("<Q", file[:8])
    header, data = json.loads(file[8 : 8 + length]), file[8 + length :]
    return {
        name: Tensor.decode(data[slice(*at["data_offsets"])], at["shape"], at["dtype"])
        for name, at in header.items()
    }


def numbers(count, low=-4, high=4):
    """Small integers: sums and products of them are exact in every format."""
    return [low + (7 * i + 3) % (high - low + 1) for i in range(count)]


def tensor(*shape, dtype="F32", values=None):
    count = math.prod(shape)
    return Tensor(shape, numbers(count) if values is None else values, dtype)


def case(recurrence, L=3, dtype="F32"):
    """Operands and gradients of the outputs of a small problem: B = 1, H = 2, K = 2, V = 3."""
    made = {
        "elementwise": {"a": (1, L, 2, 3), "x": (1, L, 2, 3), "initial_state": (1, 2, 3)},
        "gla": {
            "q": (1, L, 2, 2),
            "k": (1, L, 1, 2),
            "v": (1, L, 2, 3),
            "log_decay": (1, L, 2, 1),
            "initial_state": (1, 2, 2, 3),
        },
        "gateloop": {
            "q": (1, L, 2, 2),
            "q_im": (1, L, 2, 2),
            "k": (1, L, 2, 2),
            "v": (1, L, 1, 3),
            "log_magnitude": (1, L, 2, 2),
            "phase": (1, L, 2, 2),
            "initial_state": (1, 2, 2, 3),
        },
        "selective_scan": {
            "u": (1, L, 4),
            "delta": (1, L, 4),
            "A": (4, 2),
            "B": (1, L, 2),
            "C": (1, L, 2, 2),
            "D": (4,),
            "z": (1, L, 4),
            "delta_bias": (4,),
            "initial_state": (1, 4, 2),
        },
        "mamba2": {
            "x": (1, L, 2, 3),
            "dt": (1, L, 2),
            "A": (2,),
            "B": (1, L, 1, 2),
            "C": (1, L, 2, 2),
            "D": (2, 3),
            "z": (1, L, 2, 3),
            "dt_bias": (2,),
            "initial_state": (1, 2, 2, 3),
        },
        "rwkv6": {
            "r": (1, L, 2, 2),
            "k": (1, L, 1, 2),
            "w": (1, L, 2, 2),
            "v": (1, L, 2, 3),
            "u": (2, 2),
            "initial_state": (1, 2, 2, 3),
        },
        "rwkv7": {
            "r": (1, L, 2, 2),
            "w": (1, L, 2, 2),
            "k": (1, L, 1, 2),
            "a": (1, L, 2, 2),
            "b": (1, L, 2, 2),
            "v": (1, L, 2, 3),
            "initial_state": (1, 2, 2, 3),
        },
        "gated_delta_net": {
            "q": (1, L, 2, 2),
            "k": (1, L, 2, 2),
            "v": (1, L, 2, 3),
            "beta": (1, L, 2),
            "log_decay": (1, L, 2, 1),
            "initial_state": (1, 2, 2, 3),
        },
        "retention": {
            "q": (1, L, 2, 2),
            "k": (1, L, 1, 2),
            "v": (1, L, 2, 3),
            "log_decay": (2,),
            "initial_state": (1, 2, 2, 3),
        },
        "hgrn": {"x": (1, L, 2, 3), "log_decay": (1, L, 1, 3), "initial_state": (1, 2, 3)},
        "min_gru": {"z": (1, L, 1, 3), "h": (1, L, 2, 3), "initial_state": (1, 2, 3)},
        "min_lstm": {
            "f": (1, L, 2, 3),
            "i": (1, L, 1, 3),
            "h": (1, L, 2, 3),
            "initial_state": (1, 2, 3),
        },
        "rg_lru": {
            "x": (1, L, 2, 3),
            "r": (1, L, 1, 3),
            "i": (1, L, 2, 3),
            "Lambda": (2, 3),
            "initial_state": (1, 2, 3),
        },
        "linear_attention": {
            "q": (1, L, 2, 2),
            "k": (1, L, 1, 2),
            "v": (1, L, 2, 3),
            "initial_state": (1, 2, 2, 3),
        },
        "mlstm": {
            "q": (1, L, 2, 2),
            "k": (1, L, 1, 2),
            "v": (1, L, 2, 3),
            "i": (1, L, 2),
            "f": (1, L, 1),
            "initial_state.C": (1, 2, 2, 3),
            "initial_state.n": (1, 2, 2),
            "initial_state.m": (1, 2),
        },
        "aaren": {
            "s": (1, L, 1),
            "v": (1, L, 2, 3),
            "initial_state.num": (1, 2, 3),
            "initial_state.den": (1, 2),
            "initial_state.m": (1, 2),
        },
        "rwkv4": {
            "k": (1, L, 4),
            "v": (1, L, 4),
            "w": (4,),
            "u": (4,),
            "initial_state.num": (1, 4),
            "initial_state.den": (1, 4),
            "initial_state.m": (1, 4),
        },
        "hgrn2": {
            "q": (1, L, 2, 2),
            "f": (1, L, 1, 2),
            "i": (1, L, 2, 3),
            "lower_bound": (2, 2),
            "initial_state": (1, 2, 2, 3),
        },
    }[recurrence]
    made["d_out"] = (1, L, 4) if recurrence in ("selective_scan", "rwkv4") else (1, L, 2, 3)
    for name in [name for name in made if name.startswith("initial_state")]:
        if not name.endswith(".m"):  # which has no gradient
            made[name.replace("initial", "d_final")] = made[name]
    tensors = {name: tensor(*shape, dtype=dtype) for name, shape in made.items()}
    if "initial_state.den" in tensors:
        den = tensors["initial_state.den"]
        den.values = [abs(x) + 1 for x in numbers(len(den.values))]
    for gate in ("log_decay", "log_magnitude", "A", "w"):
        if gate in tensors:
            tensors[gate].values = [-abs(x) for x in tensors[gate].values]
    return tensors


def normalised(tensors):
    """linear_attention's operands, positive, and its state in two parts"""
    parts = {name: t for name, t in tensors.items() if "state" not in name}
    for name in ("initial_state", "d_final_state"):
        parts[name + ".S"] = tensors[name]
        parts[name + ".n"] = tensor(1, 2, 2, dtype=tensors[name].dtype)
    for name in ("q", "k", "initial_state.n"):
        parts[name].values = [abs(x) + 1 for x in parts[name].values]
    return parts


def sigmoid(x):
    return 1 / (1 + cmath.exp(-x))


def silu(x):
    return x * sigmoid(x)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def loops(recurrence, tensors, scale=1, eps=1e-6, softplus=0, normalise=0, limits=(0, math.inf)):
    """out and final states by the definition, token by token, for batch 1. In complex numbers: if
    i h is added to an operand in one place, imaginary parts are h times the derivatives there."""

    def at(name, *places):  # the one head, or key, of an operand that has not all of them
        place = 0
        for extent, i in zip(tensors[name].shape, places):
            place = place * extent + min(i, extent - 1)
        return complex(tensors[name].values[place])

    def number(name, *places):  # an operand that may be complex
        imaginary = name + "_im"
        return at(name, *places) + (1j * at(imaginary, *places) if imaginary in tensors else 0)

    def step_size(raw, least=-math.inf, most=math.inf):
        step = cmath.log(1 + cmath.exp(raw)) if softplus else raw
        return complex(least) if step.real < least else complex(most) if step.real > most else step

    def move(S, a, k, v):  # S = diag(a) S + k v^T
        for i, row in enumerate(S):
            row[:] = [a[i] * e + k[i] * x for e, x in zip(row, v)]

    def read(S, q):  # S^T q
        return [dot(q, column) for column in zip(*S)]

    def elementwise(S, t, h):
        S[0][:] = [
            number("a", 0, t, h, j) * e + number("x", 0, t, h, j) for j, e in enumerate(S[0])
        ]
        return list(S[0])

    def gateloop(S, t, h):
        q, k = ([number(name, 0, t, h, i) for i in range(K)] for name in "qk")
        a = [
            cmath.exp(at("log_magnitude", 0, t, h, i) + 1j * at("phase", 0, t, h, i))
            for i in range(K)
        ]
        move(S, a, k, [at("v", 0, t, h, j) for j in range(V)])
        return [o.real for o in read(S, q)]

    def gla(S, t, h):
        q, k, g = ([at(name, 0, t, h, i) for i in range(K)] for name in ("q", "k", "log_decay"))
        move(S, [cmath.exp(x) for x in g], k, [at("v", 0, t, h, j) for j in range(V)])
        return [scale * o for o in read(S, q)]

    def rwkv6(S, t, h):
        r, k, w = ([at(name, 0, t, h, i) for i in range(K)] for name in "rkw")
        v = [at("v", 0, t, h, j) for j in range(V)]
        own = sum(r[i] * at("u", h, i) * k[i] for i in range(K))
        out = [scale * (o + own * x) for o, x in zip(read(S, r), v)]
        move(S, [cmath.exp(x) for x in w], k, v)
        return out

    def rwkv7(S, t, h):
        r, w, k, a, b = ([at(name, 0, t, h, i) for i in range(K)] for name in "rwkab")
        removed = read(S, a)
        move(S, [cmath.exp(x) for x in w], b, removed)
        move(S, [1] * K, k, [at("v", 0, t, h, j) for j in range(V)])
        return [scale * o for o in read(S, r)]

    def mamba2(S, t, h):
        step = step_size(at("dt", 0, t, h) + at("dt_bias", h), *limits)
        B, C = ([at(name, 0, t, h, i) for i in range(K)] for name in "BC")
        x, z, D = (
            [at("x", 0, t, h, j) for j in range(V)],
            [at("z", 0, t, h, j) for j in range(V)],
            [at("D", h, j) for j in range(V)],
        )
        move(S, [cmath.exp(step * at("A", h))] * K, B, [step * e for e in x])
        return [(o + D[j] * x[j]) * silu(z[j]) for j, o in enumerate(read(S, C))]

    def gated_delta_net(S, t, h):
        q, k = ([at(name, 0, t, h, i) for i in range(K)] for name in "qk")
        if normalise:
            q, k = ([e / cmath.sqrt(dot(x, x) + eps) for e in x] for x in (q, k))
        move(S, [cmath.exp(at("log_decay", 0, t, h, i)) for i in range(K)], [0] * K, [0] * V)
        v = [at("v", 0, t, h, j) - o for j, o in enumerate(read(S, k))]
        move(S, [1] * K, [at("beta", 0, t, h) * x for x in k], v)
        return [scale * o for o in read(S, q)]

    def retention(S, t, h):
        q, k = ([at(name, 0, t, h, i) for i in range(K)] for name in "qk")
        move(S, [cmath.exp(at("log_decay", h))] * K, k, [at("v", 0, t, h, j) for j in range(V)])
        return [scale * o for o in read(S, q)]

    def linear_attention(S, t, h):
        q, k = ([at(name, 0, t, h, i) for i in range(K)] for name in "qk")
        move(S, [1] * K, k, [at("v", 0, t, h, j) for j in range(V)] + [1] * normalise)
        o = [scale * x for x in read(S, q)]
        return [x / (o[V] + eps) for x in o[:V]] if normalise else o

    def mlstm(S, t, h):
        q, k = ([at(name, 0, t, h, i) for i in range(K)] for name in "qk")
        i, f = at("i", 0, t, h), -cmath.log(1 + cmath.exp(-at("f", 0, t, h)))
        before, m[h] = m[h], max(m[h] + f.real, i.real)  # held: no derivative
        v = [at("v", 0, t, h, j) for j in range(V)] + [1]
        move(S, [cmath.exp(before - m[h] + f)] * K, [cmath.exp(i - m[h]) * x for x in k], v)
        o = [scale * x for x in read(S, q)]
        n, least = o[V] if o[V].real > 0 else -o[V], math.exp(-m[h])
        return [x / ((n if n.real > least else least) + eps) for x in o[:V]]

    def aaren(S, t, h):
        s = at("s", 0, t, h)
        before, m[h] = m[h], max(m[h], s.real)  # held: no derivative
        v = [at("v", 0, t, h, j) for j in range(V)] + [1]
        move(S, [math.exp(before - m[h])], [cmath.exp(s - m[h])], v)
        return [x / S[0][V] for x in S[0][:V]]

    def rwkv4(S, t, d):
        k, v = (at(name, 0, t, d) for name in "kv")
        w, own = at("w", d), at("u", d) + k
        most, (num, den) = max(m[d], own.real), S[0]
        before, weight = math.exp(m[d] - most), cmath.exp(own - most)
        out = (before * num + weight * v) / (before * den + weight)
        last, m[d] = m[d], max(m[d] + w.real, k.real)  # held: no derivative
        move(S, [cmath.exp(last - m[d] + w)], [cmath.exp(k - m[d])], [v, 1])
        return [out]

    def channels(of_channel):  # gate and input of channel j
        def token(S, t, h):
            moves = [of_channel(t, h, j) for j in range(V)]
            S[0][:] = [a * e + x for e, (a, x) in zip(S[0], moves)]
            return list(S[0])

        return token

    def candidate(h):
        return sigmoid(h) if h.real < 0 else h + 0.5

    def min_gru_channel(t, h, j):
        z = sigmoid(at("z", 0, t, h, j))
        return 1 - z, z * candidate(at("h", 0, t, h, j))

    def min_lstm_channel(t, h, j):
        f, i = (sigmoid(at(name, 0, t, h, j)) for name in "fi")
        return f / (f + i), i / (f + i) * candidate(at("h", 0, t, h, j))

    def rg_lru_channel(t, h, j):
        x, r, i = (at(name, 0, t, h, j) for name in "xri")
        a = cmath.exp(-8 * cmath.log(1 + cmath.exp(at("Lambda", h, j))) * sigmoid(r))
        return a, cmath.sqrt(1 - a * a) * sigmoid(i) * x

    hgrn = channels(lambda t, h, j: (cmath.exp(at("log_decay", 0, t, h, j)), at("x", 0, t, h, j)))
    min_gru, min_lstm = channels(min_gru_channel), channels(min_lstm_channel)
    rg_lru = channels(rg_lru_channel)

    def hgrn2(S, t, h):
        q, f = ([at(name, 0, t, h, i) for i in range(K)] for name in "qf")
        bounds = [at("lower_bound", h, i) for i in range(K)]
        a = [b + (1 - b) * sigmoid(x) for b, x in zip(bounds, f)]
        move(S, a, [1 - x for x in a], [at("i", 0, t, h, j) for j in range(V)])
        return read(S, q)

    def selective_scan(S, t, d):
        step = step_size(at("delta", 0, t, d) + at("delta_bias", d))
        u = at("u", 0, t, d)
        a = [cmath.exp(step * at("A", d, n)) for n in range(K)]
        move(S, a, [at("B", 0, t, n) for n in range(K)], [step * u])
        C = [at("C", 0, t, d * tensors["C"].shape[2] // H, n) for n in range(K)]
        return [(read(S, C)[0] + at("D", d) * u) * silu(at("z", 0, t, d))]

    token = locals()[recurrence]
    L, H = tensors["d_out"].shape[1:3]
    names = [name for name in tensors if name.startswith("initial_state")]  # m is the last
    last = tensors[names[0]].shape
    K, V = (1, last[-1]) if len(last) == 3 else last[-2:] if len(last) == 4 else (1, 1)
    if recurrence == "selective_scan":
        K, V = last[-1], 1
    numbers = iter(tensors[names[0]].values)
    states = [[[complex(next(numbers)) for _ in range(V)] for _ in range(K)] for _ in range(H)]
    if len(names) > 1:  # n is one column more
        numbers = iter(tensors[names[1]].values)
        for row in (row for S in states for row in S):
            row.append(complex(next(numbers)))
    m = [x.real for x in map(complex, tensors[names[2]].values)] if len(names) > 2 else []
    out = [e for t in range(L) for h in range(H) for e in token(states[h], t, h)]
    rows = [row for S in states for row in S]
    parts = ([e for row in rows for e in row[:V]], [row[-1] for row in rows], m)
    return out, {name.replace("initial", "final"): part for name, part in zip(names, parts)}


class ReplayTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.input = os.path.join(self.folder.name, "in.safetensors")
        self.output = os.path.join(self.folder.name, "out.safetensors")

    def run_replay(self, *arguments, **environment):
        return subprocess.run(
            [REPLAY, *arguments],
            env=os.environ | environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
            check=False,
        )

    def run_on(self, file, recurrence, mode, *flags):
        with open(self.input, "wb") as stream:
            stream.write(file if isinstance(file, bytes) else encode(file))
        arguments = ["--recurrence", recurrence, "--mode", mode, *flags, self.input, self.output]
        return self.run_replay(*arguments)

    def results(self, file, recurrence, mode, *flags):
        done = self.run_on(file, recurrence, mode, *flags)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            sorted(os.listdir(self.folder.name)), ["in.safetensors", "out.safetensors"]
        )
        with open(self.output, "rb") as stream:
            return decode(stream.read())

    def assert_refused(self, done, *words):
        self.assertEqual(done.returncode, 2, done)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertTrue(done.stderr.strip())
        self.assertEqual([f for f in os.listdir(self.folder.name) if f != "in.safetensors"], [])

    def refuse(self, file, recurrence, *words, flags=()):
        if os.path.exists(self.output):
            os.remove(self.output)
        self.assert_refused(self.run_on(file, recurrence, "chunked", *flags), *words)


class Results(ReplayTest):
    def test_the_elementwise_loop_is_exact_in_every_mode_and_format(self):
        given = {
            "a": [0.5, -1, 0, 2],
            "x": [1, 2, 3, 4],
            "initial_state": [8],
            "d_out": [1, 1, 2, 1],
        }
        # The adjoint from the last to the first: 1, 2 + 2 * 1, 1 + 0 * 4, 1 - 1 * 1.
        want = {
            "out": [5, -3, 3, 10],
            "final_state": [10],
            "d_a": [0 * 8, 1 * 5, 4 * -3, 1 * 3],
            "d_x": [0, 1, 4, 1],
            "d_initial_state": [0.5 * 0],
        }
        for dtype in ("F64", "F32", "BF16", "F16"):
            tensors = {
                name: Tensor((1, 1, 1) if name == "initial_state" else (1, 4, 1, 1), values, dtype)
                for name, values in given.items()
            }
            for mode in MODES:
                chunk = ["--chunk", "3"] if mode == "chunked" else []
                for flags in (["--grad"], ["--grad", "--wide", *chunk, "--threads", "2"]):
                    got = self.results(tensors, "elementwise", mode, *flags)
                    self.assertEqual(
                        {name: t.values for name, t in got.items()},
                        {name: [float(x) for x in values] for name, values in want.items()},
                    )
                    self.assertEqual({t.dtype for t in got.values()}, {dtype})

    def test_names_shapes_and_dtypes_of_the_results(self):
        for recurrence in RECURRENCES:
            for dtype in ("F64", "F32", "BF16", "F16"):
                for L in (0, 3):
                    tensors = case(recurrence, L, dtype)
                    states = [name for name in tensors if name.startswith("initial_state")]
                    shapes = {"out": tensors["d_out"].shape}
                    for name in states:
                        shapes[name.replace("initial", "final")] = tensors[name].shape
                    if recurrence == "gateloop":
                        shapes["final_state_im"] = shapes["final_state"]
                    with self.subTest(recurrence=recurrence, dtype=dtype, L=L):
                        got = self.results(tensors, recurrence, "chunked")
                        self.assertEqual({name: t.shape for name, t in got.items()}, shapes)
                        for name in states if L == 0 else ():
                            final = got[name.replace("initial", "final")]
                            self.assertEqual(final.values, tensors[name].values)
                        got = self.results(tensors, recurrence, "chunked", "--grad")
                        operands = [n for n in tensors if n[:2] != "d_" and n[-2:] != ".m"]
                        gradients = {"d_" + name: tensors[name].shape for name in operands}
                        self.assertEqual(
                            {name: t.shape for name, t in got.items()}, {**shapes, **gradients}
                        )
                        # a rounded m would scale the parts beside it
                        of_m = dtype if dtype == "F64" else "F32"
                        self.assertEqual(
                            {name: t.dtype for name, t in got.items()},
                            {name: of_m if name[-2:] == ".m" else dtype for name in got},
                        )

    def test_a_state_goes_on_through_a_file(self):
        tensors = case("aaren", 4, "BF16")
        tensors["s"].values = [100.3 + i for i in range(len(tensors["s"].values))]
        tensors["s"].dtype = "F32"
        tensors = {name: t for name, t in tensors.items() if name[:2] != "d_"}
        first = self.results(tensors, "aaren", "recurrent")
        self.assertEqual(first["final_state.m"].dtype, "F32")
        for part in ("num", "den", "m"):
            tensors["initial_state." + part] = first["final_state." + part]
        self.results(tensors, "aaren", "recurrent")  # takes an m of its own dtype

    def test_gates_in_floats_beside_16_bits(self):
        def rounded(x):  # to the nearest BF16
            bits = struct.unpack("<I", struct.pack("<f", x))[0]
            bits += 0x7FFF + (bits >> 16 & 1)
            return struct.unpack("<f", struct.pack("<I", bits & 0xFFFF0000))[0]

        for recurrence, gates in (
            ("gla", {"log_decay"}),
            ("elementwise", {"a"}),
            ("mamba2", {"dt", "A"}),
        ):
            floats = case(recurrence)
            for gate in gates:  # which BF16 has not got
                floats[gate].values = [x - 2**-12 for x in floats[gate].values]
            mixed = {
                name: Tensor(t.shape, t.values, "F32" if name in gates else "BF16")
                for name, t in floats.items()
            }
            with self.subTest(recurrence=recurrence):
                want = self.results(floats, recurrence, "chunked", "--grad")
                got = self.results(mixed, recurrence, "chunked", "--grad")
                for name, t in want.items():
                    if name[len("d_") :] not in gates:
                        t.values, t.dtype = [rounded(x) for x in t.values], "BF16"
                self.assertEqual(
                    {name: (t.dtype, t.values) for name, t in got.items()},
                    {name: (t.dtype, t.values) for name, t in want.items()},
                )

    def test_imaginary_parts(self):
        real = case("elementwise")
        im = {"a_im": real["a"], "d_out_im": real["d_out"]}
        got = self.results({**real, **im}, "elementwise", "recurrent", "--grad")
        self.assertLessEqual({"out_im", "final_state_im", "d_a_im"}, set(got))
        self.assertTrue({"d_x_im", "d_initial_state_im"}.isdisjoint(got))

    def test_packed_sequences(self):
        tensors = case("elementwise", 5)
        tensors["sequence_offsets"] = Tensor((4,), [0, 2, 2, 5], "I64")
        tensors["initial_state"] = tensor(3, 2, 3)
        tensors["d_final_state"] = tensor(3, 2, 3)
        got = self.results(tensors, "elementwise", "chunked", "--grad")
        self.assertEqual(got["final_state"].shape, [3, 2, 3])
        self.assertEqual(got["final_state"].values[6:12], tensors["initial_state"].values[6:12])

    def test_gradients_in_the_file_do_not_disturb_a_forward_run(self):
        tensors = case("gla")
        with_gradients = self.results(tensors, "gla", "scan")
        without = {name: t for name, t in tensors.items() if not name.startswith("d_")}
        self.assertEqual(self.results(without, "gla", "scan"), with_gradients)

    def test_softplus_changes_the_answer(self):
        tensors = case("selective_scan")
        plain = self.results(tensors, "selective_scan", "scan")
        self.assertNotEqual(self.results(tensors, "selective_scan", "scan", "--softplus"), plain)

    SWITCHES = {  # as the program takes them, and as `loops` does
        "gla": (["--scale", "0.5"], {"scale": 0.5}),
        "rwkv6": (["--scale", "0.5"], {"scale": 0.5}),
        "rwkv7": (["--scale", "0.5"], {"scale": 0.5}),
        "retention": (["--scale", "0.5"], {"scale": 0.5}),
        "selective_scan": (["--softplus"], {"softplus": 1}),
        "mamba2": (
            ["--softplus", "--dt-limit", "0.5", "1"],
            {"softplus": 1, "limits": (0.5, 1)},
        ),
        "linear_attention": (
            ["--normalise", "--eps", "0.25", "--scale", "0.5"],
            {"normalise": 1, "eps": 0.25, "scale": 0.5},
        ),
        "mlstm": (["--eps", "0.25", "--scale", "0.5"], {"eps": 0.25, "scale": 0.5}),
        "gated_delta_net": (
            ["--normalise", "--eps", "0.25", "--scale", "0.5"],
            {"normalise": 1, "eps": 0.25, "scale": 0.5},
        ),
    }

    def assert_close(self, got, want, tolerance):
        size = max(map(abs, want))
        self.assertGreater(size, 0)
        for g, w in zip(got, want, strict=True):
            self.assertAlmostEqual(g, w, delta=tolerance * size)

    def for_each_definition(self, check):
        for recurrence in RECURRENCES:
            given = self.SWITCHES.get(recurrence)
            for flags, switches in [([], {})] + ([given] if given else []):
                tensors = case(recurrence, 5, "F64")
                if recurrence == "linear_attention" and switches:
                    tensors = normalised(tensors)
                for x in tensors.values():
                    x.values = [e / 4 for e in x.values]
                with self.subTest(recurrence=recurrence, flags=flags):
                    check(recurrence, tensors, flags, switches)

    def test_results_are_those_of_plain_loops_in_every_mode(self):
        def check(recurrence, tensors, flags, switches):
            out, states = loops(recurrence, tensors, **switches)
            for mode in MODES:
                chunk = ["--chunk", "2"] if mode == "chunked" else []
                got = self.results(tensors, recurrence, mode, *flags, *chunk)
                self.assert_close(got["out"].values, [x.real for x in out], 1e-14)
                for name, state in states.items():
                    self.assert_close(got[name].values, [x.real for x in state], 1e-14)

        self.for_each_definition(check)

    def test_gradients_are_those_of_plain_loops(self):
        def check(recurrence, tensors, flags, switches):
            if recurrence == "gateloop":  # its numbers are complex already
                return
            h = 1e-100
            got = self.results(tensors, recurrence, "chunked", "--grad", "--chunk", "2", *flags)
            for name, x in tensors.items():
                if name.startswith("d_") or name.endswith(".m"):
                    continue
                slopes = []
                for i, kept in enumerate(x.values):
                    x.values[i] = kept + 1j * h
                    out, states = loops(recurrence, tensors, **switches)
                    x.values[i] = kept
                    loss = dot(tensors["d_out"].values, out)
                    for part, state in states.items():
                        if not part.endswith(".m"):
                            loss += dot(tensors["d_" + part].values, state)
                    slopes.append(loss.imag / h)
                self.assert_close(got["d_" + name].values, slopes, 1e-13)

        self.for_each_definition(check)

    def test_an_older_output_is_replaced(self):
        with open(self.output, "wb") as stream:
            stream.write(b"older")
        self.results(case("gla"), "gla", "scan")

    def test_help(self):
        done = self.run_replay("--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("--recurrence", done.stdout)


class Refusals(ReplayTest):
    def test_truncation(self):
        file = encode(case("gla"))
        for size in [*range(0, 200, 7), *range(200, len(file), 31), len(file) - 1]:
            with self.subTest(size=size):
                self.refuse(file[:size], "gla", "in.safetensors")

    def test_hostile_headers(self):
        data = b"\0" * 48
        for text in (
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b"{" * 100000,
            b'{"v":' * 100000,
            b'{"v":{"dtype":"F32","shape":[-1,1,1,1],"data_offsets":[0,48]}}',
            b'{"v":{"dtype":"F32","shape":[4294967296,4294967296,1,1],"data_offsets":[0,48]}}',
            b'{"v":{"dtype":"F32","shape":[1,1,1,12],"data_offsets":[0,99999999999999]}}',
            b'{"v":{"dtype":"F32","shape":[1,1,1,12],"data_offsets":[48,0]}}',
            b'{"v":{"dtype":"F32","shape":[1,1,1,11],"data_offsets":[0,48]}}',
            b'{"v":{"dtype":"F33","shape":[1,1,1,12],"data_offsets":[0,48]}}',
            b'{"v":{"dtype":"F32","shape":[1,1,1,6],"data_offsets":[0,24]},'
            b'"v":{"dtype":"F32","shape":[1,1,1,6],"data_offsets":[24,48]}}',
            b'{"v":{"dtype":"F32","shape":[1,1,1,8],"data_offsets":[0,32]},'
            b'"k":{"dtype":"F32","shape":[1,1,1,8],"data_offsets":[16,48]}}',
        ):
            with self.subTest(text=text[:60]):
                self.refuse(struct.pack("<Q", len(text)) + text + data, "gla", "in.safetensors")
        for length in (1 << 24 | 1, 1 << 62, (1 << 64) - 1):
            self.refuse(struct.pack("<Q", length) + b"{}" + data, "gla", "truncated")

    def test_states_larger_than_the_machine(self):
        empty = {name: [1, 0, 1 << 20, 1 << 20] for name in ("q", "k", "v", "log_decay")}
        header = {n: {"dtype": "F32", "shape": s, "data_offsets": [0, 0]} for n, s in empty.items()}
        text = json.dumps(header).encode()
        self.refuse(struct.pack("<Q", len(text)) + text, "gla", "in.safetensors")

    def test_a_missing_tensor(self):
        optional = {"initial_state", "d_final_state", "D", "delta_bias", "dt_bias", "phase"}
        optional |= {"q_im", "lower_bound", "gated_delta_net log_decay"}
        optional |= {"selective_scan z", "mamba2 z", "d_final_state.C", "d_final_state.n"}
        optional |= {"d_final_state.num", "d_final_state.den"}
        for recurrence in RECURRENCES:
            for name in case(recurrence):
                tensors = case(recurrence)
                del tensors[name]
                with self.subTest(recurrence=recurrence, name=name):
                    if {name, f"{recurrence} {name}"} & optional:
                        self.results(tensors, recurrence, "chunked", "--grad")
                        os.remove(self.output)
                    else:
                        self.refuse(tensors, recurrence, name, flags=["--grad"])

    def test_a_misshapen_tensor(self):
        sound = (
            ("gla", "k", [1, 3, 2, 2]),
            ("gla", "log_decay", [1, 3, 2, 2]),
            ("gateloop", "v", [1, 3, 2, 3]),
            ("selective_scan", "C", [1, 3, 2]),
            ("mamba2", "B", [1, 3, 2, 2]),
            ("mamba2", "D", [2, 1]),
            ("rwkv6", "k", [1, 3, 2, 2]),
            ("rwkv7", "k", [1, 3, 2, 2]),
            ("gated_delta_net", "log_decay", [1, 3, 2, 2]),
            ("hgrn2", "f", [1, 3, 2, 2]),
            ("retention", "k", [1, 3, 2, 2]),
            ("hgrn", "log_decay", [1, 3, 2, 3]),
            ("min_gru", "z", [1, 3, 2, 3]),
            ("min_lstm", "i", [1, 3, 2, 3]),
            ("rg_lru", "r", [1, 3, 2, 3]),
            ("linear_attention", "k", [1, 3, 2, 2]),
            ("mlstm", "k", [1, 3, 2, 2]),
            ("mlstm", "f", [1, 3, 2]),
            ("aaren", "s", [1, 3, 2]),
        )
        for recurrence in RECURRENCES:
            for name, whole in case(recurrence).items():
                shapes = [whole.shape + [1], whole.shape[:-1], [], [1] * 6]
                shapes += [
                    whole.shape[:i] + [n + 1] + whole.shape[i + 1 :]
                    for i, n in enumerate(whole.shape)
                ]
                shapes += [
                    whole.shape[:i] + [0] + whole.shape[i + 1 :] for i in range(len(whole.shape))
                ]
                for shape in shapes:
                    if (recurrence, name, shape) in sound:
                        continue
                    tensors = case(recurrence)
                    tensors[name] = tensor(*shape)
                    with self.subTest(recurrence=recurrence, name=name, shape=shape):
                        self.refuse(tensors, recurrence, "in.safetensors", flags=["--grad"])

    def test_imaginary_parts_of_another_shape_or_without_a_real_one(self):
        tensors = case("gateloop")
        tensors["q_im"] = tensor(1, 3, 1, 2)
        self.refuse(tensors, "gateloop", "q_im")
        tensors = case("elementwise", dtype="BF16")
        tensors["a_im"] = Tensor(tensors["a"].shape, tensors["a"].values, "F32")
        self.refuse(tensors, "elementwise", "a_im", "BF16", "F32")
        tensors = case("elementwise")
        tensors["initial_state_im"] = tensors.pop("initial_state")
        self.refuse(tensors, "elementwise", "initial_state")
        tensors = case("elementwise")
        tensors["d_out_im"] = tensors["d_out"]  # but nothing is complex
        self.refuse(tensors, "elementwise", "d_out_im", flags=["--grad"])

    def test_dtypes(self):
        mixed = case("gla")
        mixed["k"] = tensor(1, 3, 1, 2, dtype="F64")
        self.refuse(mixed, "gla", "k", "F32", "F64")
        narrow = case("gla", dtype="BF16")
        narrow["k"] = tensor(1, 3, 1, 2)
        self.refuse(narrow, "gla", "k", "BF16", "F32")
        narrow = case("gla", dtype="BF16")
        narrow["log_decay"] = tensor(1, 3, 1, 2, dtype="F64")
        self.refuse(narrow, "gla", "log_decay", "BF16 or F32", "F64")
        whole = {name: tensor(*t.shape, dtype="I64") for name, t in case("gla").items()}
        self.refuse(whole, "gla", "I64")
        offsets = case("gla")
        offsets["sequence_offsets"] = Tensor((2,), [0.0, 3.0], "F32")
        self.refuse(offsets, "gla", "sequence_offsets", "I64")

    def test_sequence_offsets(self):
        bad = (
            [],
            [0],
            [0, 2],
            [1, 3],
            [0, 4],
            [0, 2, 1, 3],
            [0, -1, 3],
            [0, 1 << 62, 3],
            [-(1 << 63), 3],
            [3, 0],
        )
        for offsets in bad:
            tensors = {name: t for name, t in case("gla").items() if "state" not in name}
            tensors["sequence_offsets"] = Tensor((len(offsets),), offsets, "I64")
            with self.subTest(offsets=offsets):
                self.refuse(tensors, "gla", "sequence_offsets", flags=["--grad"])
        tensors = {
            name: tensor(2, *t.shape[1:]) for name, t in case("gla").items() if "state" not in name
        }
        tensors["sequence_offsets"] = Tensor((2,), [0, 3], "I64")
        self.refuse(tensors, "gla", "in.safetensors")  # packed sequences, but a batch of 2

    def test_unknown_tensors(self):
        self.refuse({**case("gla"), "intial_state": tensor(1)}, "gla", "intial_state")
        self.refuse({**case("gla"), "\x1b[31m": tensor(1)}, "gla", "u001b")
        self.refuse(
            {**case("gla"), "d_final_state_im": tensor(1)},
            "gla",
            "d_final_state_im",
            flags=["--grad"],
        )

    def test_both_gates_of_gateloop_or_neither(self):
        tensors = case("gateloop")
        self.refuse({**tensors, "a": tensors["q"]}, "gateloop", "log_magnitude")
        for name in ("log_magnitude", "phase"):
            del tensors[name]
        self.refuse(tensors, "gateloop", "log_magnitude")

    def test_flags(self):
        file, tensors = (self.input, self.output), case("gla")
        good = ("--recurrence", "gla", "--mode", "scan")
        for arguments in (
            (),
            ("--no-such-flag",),
            (*good,),
            (*good, self.input),
            (*good, *file, "third"),
            ("--mode", "scan", *file),
            ("--recurrence", "gla", *file),
            ("--recurrence", "lstm", "--mode", "scan", *file),
            ("--recurrence", "gla", "--mode", "fast", *file),
            (*good, "--backend", "tpu", *file),
            (*good, "--chunk", "0", *file),
            (*good, "--chunk", "-1", *file),
            (*good, "--chunk", "many", *file),
            (*good, "--chunk", "99999999999", *file),
            (*good, "--threads", "-1", *file),
            (*good, "--threads", "1.5", *file),
            (*good, "--softplus", *file),
            (*good, "--scale", "much", *file),
            (*good, "--dt-limit", "0", "1", *file),
            (*good, "--eps", *file),
            (*good, "--scale", "nan", *file),
            (*good, "--scale", "1e400", *file),
            ("--recurrence", "mlstm", "--mode", "scan", "--eps", "-1", *file),
            ("--recurrence", "rg_lru", "--mode", "scan", "--max-slope", "0", *file),
            ("--recurrence", "mamba2", "--mode", "scan", "--dt-limit", "1", "0", *file),
            ("--recurrence", "mamba2", "--mode", "scan", "--dt-limit", "nan", "1", *file),
            (*good, "--chunk", "16", *file),
            (*good, *file, "--chunk"),
            (*good, "--mode", "chunked", *file),
        ):
            with open(self.input, "wb") as stream:
                stream.write(encode(tensors))
            with self.subTest(arguments=arguments):
                self.assert_refused(self.run_replay(*arguments))

    def test_paths(self):
        good = ("--recurrence", "gla", "--mode", "scan")
        self.assert_refused(self.run_replay(*good, self.input, self.output), "in.safetensors")
        self.assert_refused(self.run_replay(*good, self.folder.name, self.output), self.folder.name)
        self.assert_refused(self.run_replay(*good, os.devnull, self.output), os.devnull)
        with open(self.input, "wb") as stream:
            stream.write(encode(case("gla")))
        missing = os.path.join(self.folder.name, "missing", "out")
        self.assert_refused(self.run_replay(*good, self.input, missing), missing)
        self.assert_refused(self.run_replay(*good, self.input, self.folder.name), self.folder.name)


class OnADevice(ReplayTest):
    def test_without_a_device(self):
        with open(self.input, "wb") as stream:
            stream.write(encode(case("gla")))
        good = ("--recurrence", "gla", "--mode", "scan", "--backend", "cuda")
        done = self.run_replay(*good, self.input, self.output, CUDA_VISIBLE_DEVICES="")
        why = "no CUDA device" if HAS_CUDA else "built without CUDA"
        self.assert_refused(done, "--backend cuda", why)

    def test_the_device_gives_what_the_host_gives(self):
        done = self.run_on(case("gla"), "gla", "scan", "--backend", "cuda")
        if done.returncode != 0:
            self.skipTest(done.stderr.strip())
        for recurrence in RECURRENCES:
            for mode in MODES:
                chunk = [["--grad", "--chunk", "2"]] if mode == "chunked" else []
                for flags in ([], ["--grad"], *chunk):
                    with self.subTest(recurrence=recurrence, mode=mode, flags=flags):
                        tensors = case(recurrence, 7)
                        want = self.results(tensors, recurrence, mode, *flags)
                        got = self.results(tensors, recurrence, mode, *flags, "--backend", "cuda")
                        self.assertEqual(list(got), list(want))
                        for name, tensor in want.items():
                            size = max(map(abs, tensor.values))
                            for g, w in zip(got[name].values, tensor.values):
                                self.assertAlmostEqual(g, w, delta=1e-5 * size)


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[2] not in ("with-cuda", "without-cuda"):
        sys.exit(__doc__)
    REPLAY = os.path.abspath(sys.argv.pop(1))
    HELP = subprocess.run([REPLAY, "--help"], capture_output=True, text=True, check=True).stdout
    RECURRENCES = re.search(r"--recurrence.*?\{(.*?)\}", HELP, re.S).group(1).split(",")
    HAS_CUDA = sys.argv.pop(1) == "with-cuda"
    unittest.main()
