"""Matrix states that only forget and add: gated linear attention, Mamba-2, RWKV-6."""

from __future__ import annotations

import numpy as np
from references.states import MatrixState, sigmoid, silu_slope
from rows import FORWARD, Row


def gla(row: Row, x: dict) -> dict:
    scale, a = row.size["K"]**-0.5, np.exp(x["log_decay"])
    state = MatrixState(x["q"] * scale, x["k"], x["v"], a)
    if row.kind == FORWARD:
        return dict(zip(("out", "final_state"), state.forward()))
    d = state.backward(x["d_out"])
    return dict(q=d["q"] * scale, k=d["k"], v=d["v"], log_decay=d["a"] * a)


def mamba2(row: Row, x: dict) -> dict:
    """With softplus, skip and gate; one B and one C for all heads."""
    u, A, D, z = x["x"], x["A"], x["D"], x["z"]
    step = np.log1p(np.exp(x["dt"]))
    a = np.exp(step * A)
    every_head = (*u.shape[:3], x["B"].shape[-1])
    B, C = (np.broadcast_to(x[name], every_head) for name in "BC")
    state = MatrixState(C, B, step[..., None] * u, a[..., None])
    y, last = state.forward()
    y += D * u
    gate = z * sigmoid(z)
    if row.kind == FORWARD:
        return dict(out=y * gate, final_state=last)
    d_y = x["d_out"] * gate
    d = state.backward(d_y)
    d_log = d["a"][..., 0] * a
    d_step = (d["v"] * u).sum(-1) + d_log * A
    return dict(x=D * d_y + d["v"] * step[..., None], dt=d_step * sigmoid(x["dt"]),
                A=(d_log * step).sum((0, 1)), B=d["k"].sum(2, keepdims=True),
                C=d["q"].sum(2, keepdims=True), D=(d_y * u).sum((0, 1, 3))[:, None],
                z=x["d_out"] * y * silu_slope(z))


def rwkv6(row: Row, x: dict) -> dict:
    scale, a = row.size["K"]**-0.5, np.exp(x["w"])
    r, k, v, u = x["r"] * scale, x["k"], x["v"], x["u"]
    state = MatrixState(r, k, v, a, exclusive=True)
    own = (r * u * k).sum(-1, keepdims=True)  # what a token reads of itself
    if row.kind == FORWARD:
        out, last = state.forward()
        return dict(out=out + own * v, final_state=last)
    d = state.backward(x["d_out"])
    d_own = (x["d_out"] * v).sum(-1, keepdims=True)
    return dict(r=(d["q"] + d_own * u * k) * scale, k=d["k"] + d_own * r * u, w=d["a"] * a,
                v=d["v"] + own * x["d_out"], u=(d_own * r * k).sum((0, 1)))
