"""ggml, through ggml-python: its operators for Mamba and gated linear attention, forward only.

ggml's operators ask for their operands in other units, so these are made beforehand and not timed:
exp of gla's gates; for the scalar gate, which is Mamba-2's here, a step size whose softplus is the
gate's logarithm. It has neither gradients of these operators nor an elementwise recurrence.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator

import ggml
import numpy as np
from rows import FORWARD, Row

threads_to_use = 1


def versions() -> dict[str, str]:
    has = [name for name in ("avx2", "fma", "avx512", "neon", "sve")
           if getattr(ggml, f"ggml_cpu_has_{name}")()]
    return {"ggml-python": ggml.__version__, "ggml": ggml.ggml_version().decode(),
            "vectors": " ".join(has)}


def use_threads(threads: int) -> None:
    global threads_to_use
    threads_to_use = threads


class Graph:
    """Tensors and the operators over them. Lives as long as its process."""

    def __init__(self):
        overhead = 64 * ggml.ggml_tensor_overhead() + ggml.ggml_graph_overhead()
        self.context = ggml.ggml_init(ggml.ggml_init_params(mem_size=overhead, no_alloc=True))
        self.backend = ggml.ggml_backend_cpu_init()
        ggml.ggml_backend_cpu_set_n_threads(self.backend, threads_to_use)
        self.values = []

    def tensor(self, y: np.ndarray):
        """A tensor of y's numbers; ggml counts extents from the innermost."""
        kind = ggml.GGML_TYPE_I32 if y.dtype == np.int32 else ggml.GGML_TYPE_F32
        extents = (ctypes.c_int64 * y.ndim)(*reversed(y.shape))
        x = ggml.ggml_new_tensor(self.context, kind, y.ndim, extents)
        self.values.append((x, np.ascontiguousarray(y)))
        return x

    def runner(self, last, *results) -> Callable[[], list[np.ndarray]]:
        """A call that computes `last` and shows (tensor, first number, shape) as arrays."""
        graph = ggml.ggml_new_graph(self.context)
        ggml.ggml_build_forward_expand(graph, last)
        if not ggml.ggml_backend_alloc_ctx_tensors(self.context, self.backend):
            raise MemoryError("ggml got no memory")
        for x, y in self.values:
            ctypes.memmove(ggml.ggml_get_data(x), y.ctypes.data, y.nbytes)
        self.values.clear()

        def show(x, first, shape):
            numbers = (ctypes.c_float * ggml.ggml_nelements(x)).from_address(ggml.ggml_get_data(x))
            return np.frombuffer(numbers, np.float32)[first:][:int(np.prod(shape))].reshape(shape)

        def run():
            if ggml.ggml_backend_graph_compute(self.backend, graph) != 0:
                raise RuntimeError("ggml could not compute")
            return [show(*r) for r in results]
        return run


def mamba1(row: Row, u, delta, A, B, C, D, z):
    g, (b, length, d) = Graph(), u.shape
    x = g.tensor(u[..., None])
    scan = ggml.ggml_ssm_scan(g.context, g.tensor(np.zeros((b, d, 1, A.shape[1]), np.float32)), x,
                              g.tensor(delta), g.tensor(A), g.tensor(B[:, :, None]),
                              g.tensor(C[:, :, None]), g.tensor(np.arange(b, dtype=np.int32)))
    y = ggml.ggml_view_1d(g.context, scan, u.size, 0)
    y = ggml.ggml_reshape_3d(g.context, y, d, length, b)
    flat_x = ggml.ggml_reshape_3d(g.context, x, d, length, b)
    y = ggml.ggml_add(g.context, y, ggml.ggml_mul(g.context, flat_x, g.tensor(D)))
    y = ggml.ggml_swiglu_split(g.context, g.tensor(z), y)
    run = g.runner(y, (y, 0, u.shape), (scan, u.size, (b, *A.shape)))
    return lambda: dict(zip(("out", "final_state"), run()))


def mamba2(row: Row, q, k, v, log_decay):
    g, (b, length, heads, values), keys = Graph(), v.shape, k.shape[-1]
    step = -log_decay[..., 0].astype(np.float64)
    x = (v / step[..., None]).astype(np.float32)
    delta = np.log(np.expm1(step)).astype(np.float32)
    scan = ggml.ggml_ssm_scan(
        g.context, g.tensor(np.zeros((b, heads, values, keys), np.float32)), g.tensor(x),
        g.tensor(delta), g.tensor(np.full((heads, 1), -1, np.float32)), g.tensor(k),
        g.tensor(q * np.float32(keys**-0.5)), g.tensor(np.arange(b, dtype=np.int32)))
    run = g.runner(scan, (scan, 0, v.shape), (scan, v.size, (b, heads, values, keys)))

    def named():
        out, state = run()
        return dict(out=out, final_state=state.swapaxes(-1, -2))
    return named


def gla(row: Row, q, k, v, log_decay):
    """ggml has K = V only: the smaller one is filled up with zeros."""
    g, (b, length, heads, values), keys = Graph(), v.shape, k.shape[-1]
    size = max(keys, values) if keys == values else -(-max(keys, values) // 16) * 16

    def tokens(y):
        y = np.pad(y, [(0, 0)] * 3 + [(0, size - y.shape[-1])])
        return g.tensor(y.reshape(b * length, heads, size))

    state = g.tensor(np.zeros((b, heads * size * size), np.float32))
    o = ggml.ggml_gated_linear_attn(g.context, tokens(k), tokens(v), tokens(q),
                                    tokens(np.exp(log_decay)), state, keys**-0.5)
    out = (b, length, heads, size)
    run = g.runner(o, (o, 0, out), (o, int(np.prod(out)), (b, heads, size, size)))

    def named():
        out, state = run()
        return dict(out=out[..., :values], final_state=state[..., :keys, :values])
    return named


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind != FORWARD:
        return
    if row.recurrence == "selective_scan":
        yield "ggml_ssm_scan", mamba1
    elif row.flavour == "scalar_gate":
        yield "ggml_ssm_scan", mamba2
    elif row.recurrence == "gla":
        yield "ggml_gated_linear_attn", gla


def prepare(row: Row, form: Callable, x: dict[str, np.ndarray]) -> Callable[[], dict]:
    """A call without arguments that does the row's work."""
    return form(row, **x)


def to_numpy(result: dict) -> dict[str, np.ndarray]:
    return result
