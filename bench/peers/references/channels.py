"""Channels of one number: h_t = a_t h_{t-1} + x_t, and what makes a and x."""

from __future__ import annotations

import numpy as np
from references.states import sigmoid
from rows import FORWARD, Row


def run(a, x):
    """All states: [B, L, D]."""
    h, out = np.zeros_like(x[:, 0]), np.empty_like(x)
    for t in range(x.shape[1]):
        h = out[:, t] = a[:, t] * h + x[:, t]
    return out


def shifted(out):
    """The states before their tokens."""
    return np.concatenate([np.zeros_like(out[:, :1]), out[:, :-1]], 1)


def run_adjoint(a, out, d_out):
    """Gradients of a and x."""
    d_h, d_x = np.zeros_like(d_out[:, 0]), np.empty_like(d_out)
    for t in reversed(range(d_out.shape[1])):
        d_h = d_x[:, t] = d_h + d_out[:, t]
        d_h = d_h * a[:, t]
    return d_x * shifted(out), d_x


def forward(out):
    return dict(out=out, final_state=out[:, -1])


def elementwise(row: Row, x: dict) -> dict:
    return forward(run(x["a"], x["x"]))


def hgrn(row: Row, x: dict) -> dict:
    a = np.exp(x["log_decay"])
    out = run(a, x["x"])
    if row.kind == FORWARD:
        return forward(out)
    d_a, d_x = run_adjoint(a, out, x["d_out"])
    return dict(x=d_x, log_decay=d_a * a)


def min_gru(row: Row, x: dict) -> dict:
    z, h = sigmoid(x["z"]), x["h"]
    candidate = np.where(h >= 0, h + 0.5, sigmoid(h))
    out = run(1 - z, z * candidate)
    if row.kind == FORWARD:
        return forward(out)
    d_a, d_x = run_adjoint(1 - z, out, x["d_out"])
    slope = np.where(h >= 0, 1, candidate * (1 - candidate))
    return dict(z=z * (1 - z) * (d_x * candidate - d_a), h=d_x * z * slope)


def rg_lru(row: Row, x: dict) -> dict:
    r, i = sigmoid(x["r"]), sigmoid(x["i"])
    rate = -8 * np.log1p(np.exp(x["Lambda"]))
    a = np.exp(rate * r)
    scale = np.sqrt(-np.expm1(2 * rate * r))
    out = run(a, scale * i * x["x"])
    if row.kind == FORWARD:
        return forward(out)
    d_a, d_x = run_adjoint(a, out, x["d_out"])
    d_log = a * d_a - a * a / scale * d_x * i * x["x"]
    return dict(x=d_x * scale * i, r=d_log * rate * r * (1 - r),
                i=d_x * scale * x["x"] * i * (1 - i),
                Lambda=(d_log * r).sum((0, 1)) * -8 * sigmoid(x["Lambda"]))


def rwkv4(row: Row, x: dict) -> dict:
    """Without its scaling by exp(m); final_state: num e^m and den e^m."""
    v, a = x["v"], np.broadcast_to(np.exp(x["w"]), x["v"].shape)
    weight, own = np.exp(x["k"]), np.exp(x["u"] + x["k"])
    num, den = run(a, weight * v), run(a, weight)
    below = shifted(den) + own
    out = (shifted(num) + own * v) / below
    if row.kind == FORWARD:
        return dict(out=out, final_state=np.stack([num[:, -1], den[:, -1]], 1))

    def earlier(d):  # of the states before their tokens, as of the states
        return np.concatenate([d[:, 1:], np.zeros_like(d[:, :1])], 1)

    d_above = x["d_out"] / below
    d_own = d_above * (v - out) * own
    d_a, d_num = run_adjoint(a, num, earlier(d_above))
    d_w = d_a * a
    d_a, d_den = run_adjoint(a, den, earlier(-d_above * out))
    return dict(k=d_own + (d_num * v + d_den) * weight, v=d_above * own + d_num * weight,
                w=(d_w + d_a * a).sum((0, 1)), u=d_own.sum((0, 1)))
