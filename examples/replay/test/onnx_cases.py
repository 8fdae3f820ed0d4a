"""ONNX's own test cases of LinearAttention (opset 27), each run through replay in every mode:
linear, gated, delta and gated_delta, key and value heads shared by several queries, past states.

    onnx_cases.py REPLAY

Needs the packages onnx (1.23 or later, for that opset) and numpy; ends with 77 where they are not.
"""

import math
import os
import subprocess
import sys
import tempfile

from replay_test import MODES, Tensor, decode, encode

try:
    import numpy
    from onnx import helper
    from onnx.backend.test.case.node import collect_testcases
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

BOUNDS = {"F32": 2e-6, "F16": 1e-3}  # relative, root mean square
RECURRENCES = {
    "linear": "linear_attention",
    "gated": "gla",
    "delta": "gated_delta_net",
    "gated_delta": "gated_delta_net",
}
NAMES = {"query": "q", "key": "k", "value": "v", "decay": "log_decay", "past_state": "initial_state"}


def cases():
    """(name, attributes, inputs by name, outputs) of the operator itself."""
    for case in collect_testcases("LinearAttention"):
        (node, *rest) = case.model.graph.node
        if rest or node.op_type != "LinearAttention":
            continue  # the operator written out in others
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        for inputs, outputs in case.data_sets:
            given = [name for name in node.input if name]
            yield case.name, attributes, dict(zip(given, inputs, strict=True)), outputs


def problem(attributes, inputs):
    """The recurrence, its operands, and its scale."""
    rule = attributes.get("update_rule", b"gated_delta").decode()
    q_heads, kv_heads = attributes["q_num_heads"], attributes["kv_num_heads"]
    key_size = inputs["query"].shape[-1] // q_heads
    operands = {}
    for name, x in inputs.items():
        if name == "past_state":  # of every query head
            x = numpy.repeat(x, q_heads // kv_heads, axis=1)
        elif name != "beta":
            heads = q_heads if name == "query" else kv_heads
            x = x.reshape(*x.shape[:2], heads, x.shape[2] // heads)
        operands[NAMES.get(name, name)] = x
    return RECURRENCES[rule], operands, attributes.get("scale", 0) or 1 / math.sqrt(key_size)


def results(replay, folder, recurrence, mode, operands, scale):
    dtypes = {"float32": "F32", "float16": "F16"}
    given, made = (os.path.join(folder, name) for name in ("in", "out"))
    tensors = {
        name: Tensor(x.shape, x.ravel().tolist(), dtypes[str(x.dtype)])
        for name, x in operands.items()
    }
    with open(given, "wb") as stream:
        stream.write(encode(tensors))
    arguments = ["--recurrence", recurrence, "--mode", mode, "--scale", repr(scale)]
    subprocess.run([replay, *arguments, given, made], check=True)
    with open(made, "rb") as stream:
        return decode(stream.read())


def error(got, want):
    got, want = numpy.asarray(got.values).reshape(got.shape), want.astype(float)
    return math.sqrt(numpy.mean((got.reshape(want.shape) - want) ** 2) / numpy.mean(want**2))


def main(replay):
    worst, runs, wrong = {}, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for name, attributes, inputs, (out, state) in cases():
            recurrence, operands, scale = problem(attributes, inputs)
            dtype = {4: "F32", 2: "F16"}[out.dtype.itemsize]
            of_group = attributes["q_num_heads"] // attributes["kv_num_heads"]
            want = {"out": out, "final_state": numpy.repeat(state, of_group, axis=1)}
            for mode in MODES:
                got = results(replay, folder, recurrence, mode, operands, scale)
                for part, x in want.items():
                    off, runs = error(got[part], x), runs + 1
                    worst[dtype] = max(worst.get(dtype, 0), off)
                    if not off <= BOUNDS[dtype]:
                        wrong.append(f"{name}, {mode}: {part} is off by {off:.2g}")
    for line in wrong:
        print(line)
    print(f"{runs} results,", ", ".join(f"{t} off by at most {e:.2g}" for t, e in worst.items()))
    return 1 if wrong or not runs else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
