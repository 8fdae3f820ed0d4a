"""The matrix memory of xLSTM, without its scaling by exp(m): float64 has room for these numbers."""

from __future__ import annotations

import numpy as np
from references.states import MatrixState, sigmoid
from rows import FORWARD, Row

EPS = 1e-6


def mlstm(row: Row, x: dict) -> dict:
    """final_state: C e^m and n e^m, n as one more value."""
    scale, a = row.size["K"]**-0.5, sigmoid(x["f"])[..., None]
    weight = np.exp(x["i"])[..., None]
    one = np.ones_like(weight)
    state = MatrixState(x["q"] * scale, weight * x["k"], np.concatenate([x["v"], one], -1), a)
    read, last = state.forward()
    m, ms = np.full_like(x["i"][:, 0], -np.inf), np.empty_like(x["i"])  # eps is in units of e^m
    for t in range(row.size["L"]):
        m = ms[:, t] = np.maximum(np.log(a[:, t, :, 0]) + m, x["i"][:, t])
    n = read[..., -1:]
    denominator = np.maximum(np.abs(n), 1) + EPS * np.exp(ms)[..., None]
    out = read[..., :-1] / denominator
    if row.kind == FORWARD:
        return dict(out=out, final_state=last)
    d_n = -(x["d_out"] * out).sum(-1, keepdims=True) / denominator
    d_n = np.where(np.abs(n) > 1, d_n * np.sign(n), 0)
    d = state.backward(np.concatenate([x["d_out"] / denominator, d_n], -1))
    d_log = d["a"] * a * sigmoid(-x["f"])[..., None]
    return dict(q=d["q"] * scale, k=d["k"] * weight, v=d["v"][..., :-1],
                i=(d["k"] * x["k"] * weight).sum(-1), f=d_log[..., 0])
