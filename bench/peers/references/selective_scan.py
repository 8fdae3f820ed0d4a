"""Mamba's selective scan."""

from __future__ import annotations

import numpy as np
from references.states import forward_and_back, sigmoid, silu_slope
from rows import FORWARD, Row


def selective_scan(row: Row, x: dict) -> dict:
    u, A, B, C, D, z = (x[name] for name in "uABCDz")
    step, gate = np.log1p(np.exp(x["delta"])), z * sigmoid(z)

    def decay(t):
        return np.exp(step[:, t, :, None] * A)

    def next_state(t, h):
        return decay(t) * h + (step[:, t] * u[:, t])[..., None] * B[:, t, None, :]

    h, y = np.zeros((len(u), *A.shape)), np.empty_like(u)
    if row.kind == FORWARD:
        for t in range(row.size["L"]):
            h = next_state(t, h)
            y[:, t] = (h @ C[:, t, :, None])[..., 0]
        return dict(out=(y + D * u) * gate, final_state=h)

    d_y = x["d_out"] * gate
    d_step, d_h = np.empty_like(step), np.zeros_like(h)
    d = dict(u=D * d_y, A=np.zeros_like(A), B=np.empty_like(B), C=np.empty_like(C),
             D=(d_y * u).sum((0, 1)))
    for t, before, after in forward_and_back(next_state, h, row.size["L"]):
        y[:, t] = (after @ C[:, t, :, None])[..., 0]
        d["C"][:, t] = (d_y[:, t, None, :] @ after)[:, 0]
        d_h = d_h + d_y[:, t, :, None] * C[:, t, None, :]
        d["B"][:, t] = ((step[:, t] * u[:, t])[:, None, :] @ d_h)[:, 0]
        d_value = (d_h @ B[:, t, :, None])[..., 0]
        d["u"][:, t] += d_value * step[:, t]
        d_h = d_h * decay(t)
        d["A"] += (d_h * before * step[:, t, :, None]).sum(0)
        d_step[:, t] = d_value * u[:, t] + (d_h * before * A).sum(-1)
    return d | dict(delta=d_step * sigmoid(x["delta"]), z=x["d_out"] * (y + D * u) * silu_slope(z))

