"""Matrix states of which something is taken away under a key: gated delta rule, RWKV-7."""

from __future__ import annotations

import numpy as np
from references.states import MatrixState
from rows import FORWARD, Row

EPS = 1e-6


def normalised(x):
    """Divided by its length; and the gradient of that."""
    inverse = 1 / np.sqrt((x * x).sum(-1, keepdims=True) + EPS)
    y = x * inverse
    return y, lambda d: inverse * (d - y * (y * d).sum(-1, keepdims=True))


def gated_delta_net(row: Row, x: dict) -> dict:
    """q and k are divided by their length first."""
    scale, a, beta = row.size["K"]**-0.5, np.exp(x["log_decay"]), x["beta"][..., None]
    q, q_adjoint = normalised(x["q"])
    k, k_adjoint = normalised(x["k"])
    state = MatrixState(q * scale, beta * k, x["v"], a, -beta * k, a * k)
    if row.kind == FORWARD:
        return dict(zip(("out", "final_state"), state.forward()))
    d = state.backward(x["d_out"])
    d_write = d["k"] - d["b"]  # of beta k
    d_a = d["p"] * k
    d_a = d["a"] + (d_a if a.shape[-1] > 1 else d_a.sum(-1, keepdims=True))
    return dict(q=q_adjoint(d["q"] * scale), k=k_adjoint(beta * d_write + a * d["p"]), v=d["v"],
                beta=(d_write * k).sum(-1), log_decay=d_a * a)


def rwkv7(row: Row, x: dict) -> dict:
    scale, gate = row.size["K"]**-0.5, np.exp(x["w"])
    state = MatrixState(x["r"] * scale, x["k"], x["v"], gate, x["b"], x["a"])
    if row.kind == FORWARD:
        return dict(zip(("out", "final_state"), state.forward()))
    d = state.backward(x["d_out"])
    return dict(r=d["q"] * scale, w=d["a"] * gate, k=d["k"], a=d["p"], b=d["b"], v=d["v"])
