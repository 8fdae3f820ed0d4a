"""ONNX Runtime on the CPU: its kernel of LinearAttention, forward only.

The operator is of the domain com.microsoft; its namesake in ONNX (opset 27) has no kernel there
yet. It wants queries and keys divided by their length: that is done beforehand and not timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from operands import unit
from rows import FORWARD, Row

threads_to_use = 1


def versions() -> dict[str, str]:
    return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}


def use_threads(threads: int) -> None:
    global threads_to_use
    threads_to_use = threads


def session(node, names, results) -> onnxruntime.InferenceSession:
    def values(names):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]

    graph = helper.make_graph([node], "one", values(names), values(results))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21),
                                                    helper.make_opsetid("com.microsoft", 1)],
                              ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads_to_use, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options,
                                        ["CPUExecutionProvider"])


def attention(row: Row, q, k, v, log_decay, beta=None) -> Callable[[], dict]:
    b, length, heads, keys = k.shape
    values = v.shape[-1]
    x = dict(query=q, key=k, value=v, decay=log_decay)
    rule = "gated"
    if beta is not None:
        x |= dict(query=unit(q), key=unit(k), beta=beta)
        rule = "gated_delta"
    x = {name: np.ascontiguousarray(y.reshape(b, length, -1)) for name, y in x.items()}
    names = ["query", "key", "value", "", "decay"] + ["beta"] * (beta is not None)
    results = dict(out=np.empty((b, length, heads, values), np.float32),
                   final_state=np.empty((b, heads, keys, values), np.float32))
    node = helper.make_node("LinearAttention", names, list(results), domain="com.microsoft",
                            update_rule=rule, q_num_heads=heads, kv_num_heads=heads,
                            scale=keys**-0.5)
    run = session(node, list(x), list(results))
    binding = run.io_binding()  # no copies
    for name, y in x.items():
        binding.bind_cpu_input(name, y)
    shapes = dict(out=(b, length, heads * values), final_state=(b, heads, keys, values))
    for name, y in results.items():
        binding.bind_output(name, "cpu", 0, np.float32, shapes[name], y.ctypes.data)

    def call():
        run.run_with_iobinding(binding)
        return results
    call.kept = x  # as long as it is bound
    return call


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind == FORWARD and row.recurrence in ("gla", "gated_delta_net"):
        yield "com.microsoft.LinearAttention", attention


def prepare(row: Row, form: Callable, x: dict[str, np.ndarray]) -> Callable[[], dict]:
    """A call without arguments that does the row's work."""
    return form(row, **x)


def to_numpy(result: dict) -> dict[str, np.ndarray]:
    return result
