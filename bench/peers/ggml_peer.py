"""ggml, through ggml-python: its operators for Mamba, gated linear attention, the gated delta rule
and RWKV, forward only.

ggml's operators ask for their operands in other units, so these are made beforehand and not timed:
exp of gates; queries and keys divided by their length; for gla's scalar gate, which is Mamba-2's
here, a step size whose softplus is the gate's logarithm. It has neither gradients of these
operators nor an elementwise recurrence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import ggml
import numpy as np
from ggml_graph import Graph, use_threads
from operands import unit
from rows import FORWARD, Row

__all__ = ["forms", "prepare", "to_numpy", "use_threads", "versions"]


def versions() -> dict[str, str]:
    has = [name for name in ("avx2", "fma", "avx512", "neon", "sve")
           if getattr(ggml, f"ggml_cpu_has_{name}")()]
    return {"ggml-python": ggml.__version__, "ggml": ggml.ggml_version().decode(),
            "vectors": " ".join(has)}


def skip_and_gate(g: Graph, scan, x, D, z):
    """(y + D x) silu(z), y the first numbers of scan."""
    shape = (*reversed(z.shape), *[1] * (4 - z.ndim))
    y = ggml.ggml_reshape_4d(g.context, ggml.ggml_view_1d(g.context, scan, z.size, 0), *shape)
    x = ggml.ggml_reshape_4d(g.context, x, *shape)
    y = ggml.ggml_add(g.context, y, ggml.ggml_mul(g.context, x, g.tensor(D)))
    return ggml.ggml_swiglu_split(g.context, g.tensor(z), y)


def mamba1(row: Row, u, delta, A, B, C, D, z):
    g, (b, length, d) = Graph(), u.shape
    x = g.tensor(u[..., None])
    scan = ggml.ggml_ssm_scan(g.context, g.tensor(np.zeros((b, d, 1, A.shape[1]), np.float32)), x,
                              g.tensor(delta), g.tensor(A), g.tensor(B[:, :, None]),
                              g.tensor(C[:, :, None]), g.tensor(np.arange(b, dtype=np.int32)))
    y = skip_and_gate(g, scan, x, D, z)
    run = g.runner(y, (y, 0, u.shape), (scan, u.size, (b, *A.shape)))
    return lambda: dict(zip(("out", "final_state"), run()))


def gla_as_mamba2(row: Row, q, k, v, log_decay):
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


def mamba2(row: Row, x, dt, A, B, C, D, z):
    g, (b, length, heads, values), keys = Graph(), x.shape, B.shape[-1]
    u = g.tensor(x)
    scan = ggml.ggml_ssm_scan(
        g.context, g.tensor(np.zeros((b, heads, values, keys), np.float32)), u, g.tensor(dt),
        g.tensor(A[:, None]), g.tensor(B), g.tensor(C), g.tensor(np.arange(b, dtype=np.int32)))
    y = skip_and_gate(g, scan, u, np.broadcast_to(D, (heads, values)), z)
    run = g.runner(y, (y, 0, x.shape), (scan, x.size, (b, heads, values, keys)))

    def named():
        out, state = run()
        return dict(out=out, final_state=state.swapaxes(-1, -2))
    return named


def filled(y, size):
    """Up to `size` numbers a head, with zeros."""
    return np.pad(y, [(0, 0)] * (y.ndim - 1) + [(0, size - y.shape[-1])])


def square_states(row: Row, g: Graph, o, size, values_first):
    """Runs o: outputs of all tokens, then states of `size` keys and values."""
    n = row.size
    out = (n["B"], n["L"], n["H"], size)
    run = g.runner(o, (o, 0, out), (o, int(np.prod(out)), (n["B"], n["H"], size, size)))

    def named():
        out, state = run()
        state = state.swapaxes(-1, -2) if values_first else state
        return dict(out=out[..., :n["V"]], final_state=state[..., :n["K"], :n["V"]])
    return named


def next_multiple(row: Row, of: int) -> int:
    """ggml has K = V only, of some multiple of its registers."""
    return -(-max(row.size["K"], row.size["V"]) // of) * of


def rwkv6(row: Row, r, k, w, v, u):
    g, size = Graph(), next_multiple(row, 16)
    (b, length, heads, keys) = k.shape

    def tokens(y):
        return g.tensor(filled(y, size).reshape(b * length, heads, size))

    state = g.tensor(np.zeros((b, heads * size * size), np.float32))
    o = ggml.ggml_rwkv_wkv6(g.context, tokens(k), tokens(v), tokens(r * np.float32(keys**-0.5)),
                            g.tensor(filled(u, size)), tokens(np.exp(w)), state)
    return square_states(row, g, o, size, values_first=False)


def rwkv7(row: Row, r, w, k, a, b, v):
    g, size = Graph(), next_multiple(row, 64)
    (batch, length, heads, keys) = k.shape

    def tokens(y):
        return g.tensor(filled(y, size).reshape(batch * length, heads, size))

    state = g.tensor(np.zeros((batch, heads * size * size), np.float32))
    o = ggml.ggml_rwkv_wkv7(g.context, tokens(r * np.float32(keys**-0.5)), tokens(np.exp(w)),
                            tokens(k), tokens(v), tokens(a), tokens(b), state)
    return square_states(row, g, o, size, values_first=True)


def gated_delta_net(row: Row, q, k, v, beta, log_decay):
    """Its scale is size^-0.5."""
    g, size = Graph(), next_multiple(row, 16)
    b, length, heads, keys = k.shape
    q, k = unit(q) * np.float32((size / keys)**0.5), unit(k)
    gate = log_decay if row.flavour else filled(log_decay, size)
    state = g.tensor(np.zeros((b, heads, size, size), np.float32))
    o = ggml.ggml_gated_delta_net(g.context, *(g.tensor(filled(y, size)) for y in (q, k, v)),
                                  g.tensor(gate), g.tensor(beta[..., None]), state, 1)
    return square_states(row, g, o, size, values_first=True)


OPERATORS = {
    "selective_scan": ("ggml_ssm_scan", mamba1), "mamba2": ("ggml_ssm_scan", mamba2),
    "gla": ("ggml_gated_linear_attn", gla), "rwkv6": ("ggml_rwkv_wkv6", rwkv6),
    "rwkv7": ("ggml_rwkv_wkv7", rwkv7),
    "gated_delta_net": ("ggml_gated_delta_net", gated_delta_net),
}


def forms(row: Row) -> Iterator[tuple[str, Callable]]:
    if row.kind != FORWARD:
        return
    if row.recurrence == "gla" and row.flavour:
        yield "ggml_ssm_scan", gla_as_mamba2
    elif row.recurrence in OPERATORS:
        yield OPERATORS[row.recurrence]


def prepare(row: Row, form: Callable, x: dict[str, np.ndarray]) -> Callable[[], dict]:
    """A call without arguments that does the row's work."""
    return form(row, **x)


def to_numpy(result: dict) -> dict[str, np.ndarray]:
    return result
